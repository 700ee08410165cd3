"""Reports of earlier schema versions, brought up to ours: one function a step, from dictionary to dictionary.

A minor version adds fields that have defaults, so that every report of the major version can be read; a major one may
rename and remove. Whatever an earlier auditkit did not record stays unknown, and the report then says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from auditkit.errors import AuditkitError
from auditkit.report.base import SCHEMA_VERSION, AuditReport
from auditkit.report.part import Part

Content = dict[str, Any]
Step = Callable[[Content], Content]

_VERSION = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")


def _unchanged(content: Content) -> Content:
    """1.0 to 1.1 only added fields that have defaults; 1.0 itself grew so, before versions were counted."""
    return content


# From which version a step starts, where it leads, and what it does.
STEPS: dict[str, tuple[str, Step]] = {"1.0": ("1.1", _unchanged)}

# What page one calls the parts that came after 1.0; of any other part, its name in audit.json.
_WORDS = {
    "arms.attack_kinds": "which attacks know a mitigation",
    "attribution": "whose data leaked, and what to remove first",
    "earlier_runs": "earlier runs of the same model and data",
    "findings.longest_match": "the longest stretch shared with a record",
    "findings.spans": "the stretches that a record and a generation share",
    "forecasts": "what more generations would find",
    "instrument": "the instrument on models whose training data is known",
    "lengths": "whether members and controls are of like length",
    "mitigations": "mitigations, attacked again",
    "near_duplicates": "near-duplicates within the data",
    "powers": "what the rules could have shown",
    "probes": "what the likelihoods say",
    "registration": "whether the policy was registered before the run",
    "run.embedding": "what it took to embed the texts",
    "thresholds": "rates against the threshold",
    "worth": "what the leak is worth to whoever trains on it",
}


# What says nothing of an audit to whoever reads of it: places of files, and parts of what is named already.
_UNTOLD = frozenset(
    {
        *("migration", "redacted", "run.blind", "policy.file", "datasets.folder", "verdict.rules.line"),
        *("waivers", "waiver_file", "verdict.rules.waivers", "findings.waived"),  # nothing could be waived then
        *("signature.timestamp_host", "rendered_again"),
        *("stages", "attribution.forecasts", "attribution.removals.extraction_probability"),  # nobody asked for them
    }
)


def migrated(content: Content) -> Content:
    """A report of any schema version that this auditkit knows, as one of ours; of ours, as it is.

    ``content`` is what stands in audit.json. What was migrated carries ``migration``: from which version, and what
    that version did not record.

    Raises:
        AuditkitError: no version, one of a later auditkit, or one that no step leads away from.
    """
    version = content.get("schema_version")
    if version == SCHEMA_VERSION:
        return content
    refuse_unreadable(version)
    made = dict(content)
    while made["schema_version"] != SCHEMA_VERSION:
        reached, step = STEPS[made["schema_version"]]
        made = {**step(made), "schema_version": reached}
    return {**made, "migration": _migration(content)}


def _migration(content: Content) -> Content:
    """Of a report that was migrated before, where it first came from stays what it was."""
    earlier = content.get("migration")
    known = earlier if isinstance(earlier, Mapping) else {"from_version": content["schema_version"], "not_recorded": []}
    return {**known, "not_recorded": list(dict.fromkeys([*known.get("not_recorded", ()), *not_recorded(content)]))}


def refuse_unreadable(version: object) -> None:
    """Say what to do about a report of a version that no step leads away from.

    Raises:
        AuditkitError: it is such a version, or none at all.
    """
    if isinstance(version, str) and version in STEPS:
        return
    shown = repr(str(version)[:20])
    parts = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if parts is None:
        raise AuditkitError(
            f"{shown} is no schema version of an audit report", f"this auditkit reads {', '.join(readable())}"
        )
    ours = tuple(map(int, SCHEMA_VERSION.split(".")))
    if (int(parts[1]), int(parts[2])) > ours:
        raise AuditkitError(
            f"the report has schema version {shown}, this auditkit reads up to {SCHEMA_VERSION!r}",
            "upgrade auditkit: pip install --upgrade auditkit",
        )
    raise AuditkitError(
        f"the report has schema version {shown}, which this auditkit no longer reads",
        f"use the version of auditkit that wrote it; this one reads {', '.join(readable())}",
    )


def readable() -> list[str]:
    """The schema versions that can be read, ascending."""
    return sorted({*STEPS, SCHEMA_VERSION}, key=lambda version: [int(part) for part in version.split(".")])


def not_recorded(content: Mapping[str, Any]) -> list[str]:
    """What a report lacks of what ours declare, in words; one entry for what every item of a list lacks."""
    names = dict.fromkeys(name for name in _lacking(AuditReport, content) if name not in _UNTOLD)
    return [_WORDS.get(name, name) for name in names]


def _lacking(part: type[Part], content: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    """Dotted names of declared fields that are not there; what lies in a missing part is not named again."""
    for name, field in part.model_fields.items():
        here = f"{inside}{name}"
        if name not in content:
            yield here
            continue
        inner = _part_in(field.annotation)
        if inner is not None:
            for item in _items(content[name]):
                yield from _lacking(inner, item, f"{here}.")


def _part_in(annotation: Any) -> type[Part] | None:
    """The kind of part that a field holds: alone, in a list, or where there is any."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType):
        return next((found for each in get_args(annotation) if (found := _part_in(each))), None)
    return None


def _items(value: Any) -> list[Mapping[str, Any]]:
    found = value if isinstance(value, list) else [value]
    return [item for item in found if isinstance(item, Mapping)]

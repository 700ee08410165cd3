"""From policy.yaml to a Policy: presets merged, overrides applied, paths resolved, every problem at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from auditkit.attacks.base import Attack
from auditkit.errors import PolicyError, Problem
from auditkit.mitigations.base import Mitigation
from auditkit.policy.base import policy_sha256
from auditkit.policy.complaints import complaints
from auditkit.policy.cross_checks import Checker, default_names
from auditkit.policy.lock import lock, weaker_than_preset
from auditkit.policy.presets import overridden, read_file, with_presets
from auditkit.policy.schema import (
    Checkpoint,
    LmTasks,
    Policy,
    PolicySource,
    Section,
    UtilitySection,
    WaiversSection,
    Worth,
)
from auditkit.policy.yaml_source import Document, Keys, shown

__all__ = ["load_policy", "lock", "weaker_than_preset"]

MAX_PROBLEMS = 100
_DATA_PATHS = ("path", "controls")
S = TypeVar("S", bound=Section)
T = TypeVar("T", bound=LmTasks)


@dataclass(frozen=True)
class _Origins:
    """Which folder a path in the policy is relative to: that of the file that it stands in."""

    document: Document
    file: Path
    base: Path

    def folder(self, keys: Keys) -> Path:
        """The policy's own folder also for what was given as an option."""
        place = self.document.place(keys)
        own = place.file == self.file or place.line is None
        return self.base if own else place.file.parent.absolute()


def load_policy(path: str | Path, overrides: Sequence[str] = (), folder: str | Path | None = None) -> Policy:
    """The policy in this file, with its presets merged underneath and ``overrides`` (``path=value``) on top.

    Paths in the policy are relative to the file that they stand in, and absolute in the result; ``folder`` replaces
    the policy's own folder, for a lock file that was moved into a run. Nothing is downloaded and no model is opened.

    Raises:
        PolicyError: anything is wrong; ``problems`` holds everything at once, with file, line and what to do.
    """
    file = Path(path)
    base = Path(folder) if folder is not None else file.parent
    written, _ = read_file(file)
    document = overridden(with_presets(written, file), overrides)
    locked = document.data.pop("locked", None)
    origins = _Origins(document, file, base.absolute())
    document = _resolved(origins)
    checker = Checker(document)
    problems = [*document.problems, *checker.run(), *_wrong_lock(locked, document)]
    policy, complained = _validated(document, checker.spoken_of)
    problems += complained
    if problems or policy is None:
        raise PolicyError(_in_order(problems, file))
    source = PolicySource(
        file.absolute(), policy_sha256(file), _lines(document, file), _preset(policy, locked), tuple(overrides)
    )
    return _finished(policy, origins, source)


def _resolved(origins: _Origins) -> Document:
    """The document with the paths of data and certificate made absolute, each from where it was written."""
    document = origins.document
    data = _copy(document.data)
    for keys, section, key in _path_fields(data):
        value = section.get(key)
        if isinstance(value, str) and value and "://" not in value:
            section[key] = str(origins.folder((*keys, key)) / value)
    return replace(document, data=data)


def _path_fields(data: dict[str, Any]) -> Iterator[tuple[Keys, dict[str, Any], str]]:
    datasets = data.get("datasets")
    for position, section in enumerate(datasets if isinstance(datasets, list) else ()):
        if isinstance(section, dict):
            yield from ((("datasets", position), section, key) for key in _DATA_PATHS)
    report = data.get("report")
    sign = report.get("sign") if isinstance(report, dict) else None
    if isinstance(sign, dict):
        yield ("report", "sign"), sign, "certificate"
    if isinstance(waivers := data.get("waivers"), dict):
        waivers.setdefault("file", WaiversSection.model_fields["file"].default)
        yield from ((("waivers",), waivers, key) for key in ("file", "key"))


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _validated(document: Document, spoken_of: set[Keys]) -> tuple[Policy | None, list[Problem]]:
    """The policy, or what the schema says is wrong with it. Strictly: the text "100" is no number."""
    try:
        return Policy.model_validate_json(json.dumps(document.data), strict=True), []
    except ValidationError as error:
        return None, list(islice(complaints(error, document, spoken_of), MAX_PROBLEMS + 1))


def _wrong_lock(locked: Any, document: Document) -> list[Problem]:
    if locked is None or isinstance(locked, dict):
        return []
    place = document.place(("locked",))
    return [Problem(place.file, place.line, f"`locked` should be a mapping, and is {shown(locked)}", "delete it")]


def _in_order(problems: list[Problem], file: Path) -> list[Problem]:
    """The policy's own problems first, by line; each once; a flood of them cut."""
    unique = list(dict.fromkeys(problems))
    unique.sort(key=lambda problem: (problem.file != file, str(problem.file), problem.line or 0))
    if len(unique) <= MAX_PROBLEMS:
        return unique
    return [*unique[:MAX_PROBLEMS], Problem(file, None, "and more problems than these", "mend these first")]


def _lines(document: Document, file: Path) -> dict[str, int]:
    """Where each key of the policy file itself stands, as "datasets.0.path" -> line."""
    found = ((".".join(map(str, keys)), place) for keys, place in document.places.items() if keys)
    return {keys: place.line for keys, place in found if place.file == file and place.line is not None}


def _preset(policy: Policy, locked: Any) -> str | None:
    preset = locked.get("preset") if isinstance(locked, dict) else None
    return policy.extends or (preset if isinstance(preset, str) else None)


def _finished(policy: Policy, origins: _Origins, source: PolicySource) -> Policy:
    """Attacks named, paths inside plug-ins resolved, the source remembered."""
    plugins = [*policy.attacks, *policy.probes]
    names = default_names([plugin.model_dump(include={"kind", "name"}) for plugin in plugins])
    named = [plugin.model_copy(update={"name": name}) for plugin, name in zip(plugins, names, strict=True)]
    attacks, probes = named[: len(policy.attacks)], named[len(policy.attacks) :]
    probes = [_with_attack(probe, attacks) for probe in probes]
    mitigations = _named_arms(policy, origins)
    models = _with_paths(policy.models, "models", ("candidate", "base"), origins)
    scoring = _with_paths(policy.scoring, "scoring", ("embedder",), origins)
    finished = policy.model_copy(
        update={
            "attacks": attacks,
            "probes": probes,
            "models": models,
            "scoring": scoring,
            "mitigations": mitigations,
            "utility": _with_tasks(policy.utility, origins),
            "worth": policy.worth and _resolved_worth(policy.worth, origins),
            "checkpoints": _checkpoints(policy, origins),
        }
    )
    finished._source = source
    return finished


def _named_arms(policy: Policy, origins: _Origins) -> list[Mitigation]:
    names = default_names([section.model_dump(include={"kind", "name"}) for section in policy.mitigations])
    return [
        section.model_copy(update={"name": name}).resolved(origins.folder(("mitigations", position, "kind")))
        for position, (section, name) in enumerate(zip(policy.mitigations, names, strict=True))
    ]


def _checkpoints(policy: Policy, origins: _Origins) -> list[Checkpoint]:
    """Each with its model's paths resolved from where they were written."""
    return [
        one.model_copy(update={"model": one.model.resolved(origins.folder(("checkpoints", place, "model", "path")))})
        for place, one in enumerate(policy.checkpoints)
    ]


def _with_tasks(section: UtilitySection, origins: _Origins) -> UtilitySection:
    """The folder of the user's own tasks, from where it was written."""
    return section.model_copy(update={"lm_eval": _included(section.lm_eval, "utility", origins)})


def _included(tasks: T | None, key: str, origins: _Origins) -> T | None:
    if tasks is None or tasks.include is None:
        return tasks
    folder = origins.folder((key, "lm_eval", "include")) / tasks.include
    return tasks.model_copy(update={"include": str(folder)})


def _resolved_worth(section: Worth, origins: _Origins) -> Worth:
    """Each path from where the section was written."""
    found = section.resolved(origins.folder(("worth",)))
    return found.model_copy(update={"lm_eval": _included(found.lm_eval, "worth", origins)})


def _with_attack(probe: Any, attacks: Sequence[Any]) -> Any:
    """A probe that speaks of an attack, and names none, speaks of the first that samples through the template."""
    if "attack" not in type(probe).model_fields:
        return probe
    if probe.attack:  # a name, or a kind: the first of that kind
        named = [one.name for one in attacks if isinstance(one, Attack) and probe.attack in (one.name, one.kind)]
        return probe.model_copy(update={"attack": named[0] if named else probe.attack})
    through = [one.name for one in attacks if isinstance(one, Attack) and one.kind != "bos_prefix"]
    fallback = [one.name for one in attacks if isinstance(one, Attack)]
    return probe.model_copy(update={"attack": (through or fallback)[0]})


def _with_paths(section: S, key: str, names: Sequence[str], origins: _Origins) -> S:
    """The section with those of its plug-ins that hold paths resolved, each from where its path was written."""
    plugins = {name: getattr(section, name) for name in names}
    resolved = {
        name: plugin.resolved(origins.folder((key, name, "path")))
        for name, plugin in plugins.items()
        if hasattr(plugin, "resolved")
    }
    return section.model_copy(update=resolved)

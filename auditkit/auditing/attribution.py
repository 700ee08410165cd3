"""Leaks by whose they are, and the records to remove: in the report up to its cap, in the evidence all of them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from auditkit.auditing.context import Context
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.probing import Probed
from auditkit.auditing.removal import DatasetRemoval, extraction_chance
from auditkit.auditing.score import Scores
from auditkit.corpus.identity import keyed_id
from auditkit.files import replacing
from auditkit.records import Record
from auditkit.report.scored import Attribution, GroupKind, LeakGroup, Removal
from auditkit.scoring.attribution import Leaks, Removals, cluster_records, end_to_end, group_counts, leaks, removals

Floats = npt.NDArray[np.float64]
MOST_GROUPS = 40  # of one kind: a tag may be as rare as a record
PLAIN_PATH = re.compile(r"[\w./][\w./ -]*")  # nothing that a spreadsheet takes for a formula or for the end of a cell
COLUMNS = ("rank", "dataset", "file", "line", "record", "records_in_cluster", "generations", "risk_per_record")
MORE_COLUMNS = ("extraction_probability", "copies_to_the_letter", "coverage_after", "coverage_low", "coverage_high")


@dataclass(frozen=True)
class _Leaking:
    """One dataset with a threshold: what leaked of it, and what to remove."""

    data: PreparedDataset
    leaks: Leaks
    removals: Removals
    chance: Floats  # (records,) log10 of the probability of being written out, -inf where it was not read
    forecast: DatasetRemoval


def attribution(context: Context, scores: Scores, probed: Sequence[Probed] = ()) -> Attribution | None:
    """Groups and removals of every dataset in its first view; None where no dataset has a threshold.

    Writes the whole removal lists beside the evidence.
    """
    found = [_leaking(context, data, scores, probed) for data in context.datasets]
    leaking = [one for one in found if one is not None]
    if not leaking:
        return None
    for one in leaking:
        _write_list(context, one)
    cap = max(1, context.policy.report.max_findings // len(context.datasets))
    groups = [_groups(leaking, by) for by in get_args(GroupKind)]
    return Attribution(
        groups=[group for of_kind in groups for group in of_kind[:MOST_GROUPS]],
        groups_total=sum(map(len, groups)),
        removals=[removal for one in leaking for removal in _shown(context, one, cap)],
        removals_total=sum(len(one.removals.record) for one in leaking),
        forecasts=[one.forecast.told(one.removals) for one in leaking],
    )


def _leaking(context: Context, data: PreparedDataset, scores: Scores, probed: Sequence[Probed]) -> _Leaking | None:
    view = data.views[0]
    threshold = scores.calibrations[data.name, view].threshold
    if threshold is None:
        return None
    keys = [(attack.label, data.name, view) for attack in context.policy.prefix_attacks]
    found = leaks(
        data.clusters,
        np.logical_or.reduce([scores.coverage[key].members.record_hit for key in keys]),
        np.concatenate([scores.matches[key].record for key in keys]),
        np.concatenate([scores.matches[key].score for key in keys]),
        threshold,
    )
    chance = extraction_chance(data, probed)
    listed = removals(found, chance)
    return _Leaking(data, found, listed, chance, DatasetRemoval.of(context, data, scores, listed))


_NAMES: dict[GroupKind, Callable[[PreparedDataset, Record], tuple[str, ...]]] = {
    "dataset": lambda data, _: (data.name,),
    "owner": lambda data, _: (data.section.owner,),
    "licence": lambda data, _: (data.section.licence,),
    "tag": lambda _, record: record.tags or ("",),
}


def _names(leaking: Sequence[_Leaking], by: GroupKind) -> Iterator[tuple[str, ...]]:
    """The groups of each record, all datasets end to end."""
    return (_NAMES[by](one.data, record) for one in leaking for record in one.data.members.records)


def _groups(leaking: Sequence[_Leaking], by: GroupKind) -> list[LeakGroup]:
    """The groups of one kind, those with most leaked records first. No group of tags where there is no tag."""
    names: dict[str, int] = {}
    sizes = np.fromiter(map(len, _names(leaking, by)), np.int64)
    group = np.fromiter((names.setdefault(name, len(names)) for each in _names(leaking, by) for name in each), np.int64)
    if by == "tag" and set(names) <= {""}:
        return []
    record = np.repeat(np.arange(len(sizes)), sizes)
    counts = group_counts(end_to_end([one.leaks for one in leaking]), record, group, len(names))
    made = [
        LeakGroup(by=by, name=name, **{field: int(values[number]) for field, values in vars(counts).items()})
        for name, number in names.items()
    ]
    return sorted(made, key=lambda found: (-found.records_leaked, -found.generations, found.name))


def _shown(context: Context, one: _Leaking, cap: int) -> list[Removal]:
    return [_removal(context, one, place) for place in range(min(cap, len(one.removals.record)))]


def _removal(context: Context, one: _Leaking, place: int) -> Removal:
    data, found = one.data, one.removals
    record = data.members.records[int(found.record[place])]
    return Removal(
        dataset=data.name,
        record=record_id(context, data, record),
        record_index=record.index,
        file=record.file,
        line=record.line,
        owner=data.section.owner,
        licence=data.section.licence,
        tags=list(record.tags),
        records=int(found.records[place]),
        generations=int(found.generations[place]),
        risk_per_record=float(found.risk_per_record[place]),
        cumulative=float(found.cumulative[place]),
        extraction_probability=_probability(one, np.flatnonzero(one.leaks.clusters == found.cluster[place])),
    )


def _probability(one: _Leaking, records: npt.NDArray[np.int64]) -> float | None:
    """The likeliest record's of a cluster; None where no probe read it."""
    most = float(one.chance[records].max())
    return 10**most if np.isfinite(most) else None


def record_id(context: Context, data: PreparedDataset, record: Record) -> str:
    """The keyed id by which a record is known outside the evidence."""
    return keyed_id(context.secret, "rec", f"{data.name}/{record.id}")


def _write_list(context: Context, one: _Leaking) -> None:
    """One line a record to remove; the records of a cluster share a rank, and go together."""
    with (
        replacing(context.run.removals_file(one.data.name)) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow([*COLUMNS, *MORE_COLUMNS])
        writer.writerows(_lines(context, one))


def _lines(context: Context, one: _Leaking) -> Iterator[tuple[str | int | float | None, ...]]:
    data, found = one.data, one.removals
    after = one.forecast.after_each(found)
    for place, indices in enumerate(cluster_records(one.leaks.clusters, found.cluster)):
        figures = (int(found.records[place]), int(found.generations[place]), float(found.risk_per_record[place]))
        coverage = (float(after.coverage[place]), float(after.low[place]), float(after.high[place]))
        copies = Counter(data.members.records[int(index)].text for index in indices)
        for index in map(int, indices):
            record = data.members.records[index]
            where = (as_path(record.file), record.line, record_id(context, data, record))
            more = (_probability(one, np.array([index])), copies[record.text], *coverage)
            yield (place + 1, data.name, *where, *figures, *more)


def as_path(file: str) -> str:
    """The same path, with nothing in it that a spreadsheet would act on [OWASP, CSV injection].

    A name that is not plain is percent-encoded behind ``file:``. Quotes would not do: which sign ends a cell differs
    from country to country, and ``a;=1+1`` is two cells in many of them.
    """
    return file if PLAIN_PATH.fullmatch(file) else f"file:{quote(file)}"

"""Which records leak in one run and not in the other: by place in the dataset, named by their keyed ids."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from auditkit.auditing.diff_lines import common_attacks
from auditkit.auditing.diff_paired import read_side
from auditkit.auditing.diff_runs import DiffRun, UnpairedError
from auditkit.auditing.diff_sameness import Sameness
from auditkit.records import View
from auditkit.report.base import DatasetInfo
from auditkit.report.diff import MovedRecord, RecordsMoved

MOST_LISTED = 5000

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


def moved_records(same: Sameness) -> Iterator[RecordsMoved]:
    """Of each dataset of both runs, in its first view; over the attacks that both made."""
    attacks = common_attacks(same.before, same.after)
    theirs = {data.name: data for data in same.after.report.datasets}
    for data in same.before.report.datasets:
        if data.name in theirs and data.views:
            yield _of_dataset(same, data, theirs[data.name], attacks)


def _of_dataset(same: Sameness, data: DatasetInfo, other: DatasetInfo, attacks: list[str]) -> RecordsMoved:
    view = data.views[0]
    empty = RecordsMoved(dataset=data.name, view=view, attacks=attacks, records=data.records)
    if not attacks:
        return empty.model_copy(update={"reason": "the runs have no attack in common"})
    if view not in other.views:
        return empty.model_copy(update={"reason": "the dataset is matched by other views"})
    if reason := same.unlike_data(data.name):
        return empty.model_copy(update={"reason": reason})
    try:
        sides = [_reached(run, data.name, view, attacks) for run in same.runs]
    except UnpairedError as error:
        return empty.model_copy(update={"reason": str(error)})
    if len({len(hit) for hit, _ in sides} | {data.records}) > 1:
        return empty.model_copy(update={"reason": "the evidence speaks of another number of records"})
    return empty.model_copy(update=_moved(same, data.name, *sides))


def _reached(run: DiffRun, dataset: str, view: View, attacks: list[str]) -> tuple[Flags, Floats]:
    """(records,) whether any of the attacks reaches each, and each one's best score."""
    found = [read_side(run, dataset, attack, view).members for attack in attacks]
    if any(side.threshold is None for side in found):
        raise UnpairedError("there is no semantic threshold")
    if len({len(side.record_hit) for side in found}) != 1:
        raise UnpairedError("the evidence speaks of several numbers of records")
    hits = np.logical_or.reduce([side.record_hit for side in found])
    return hits, np.max([side.best_score for side in found], axis=0)


def _moved(
    same: Sameness, dataset: str, before: tuple[Flags, Floats], after: tuple[Flags, Floats]
) -> dict[str, object]:
    ids = _known_ids(same, dataset)
    appeared, vanished = ~before[0] & after[0], before[0] & ~after[0]
    return {
        "before": int(before[0].sum()),
        "after": int(after[0].sum()),
        "appeared": int(appeared.sum()),
        "vanished": int(vanished.sum()),
        "newly": _listed(appeared, after[1], (before[1], after[1]), ids),
        "no_longer": _listed(vanished, before[1], (before[1], after[1]), ids),
    }


def _listed(which: Flags, by: Floats, scores: tuple[Floats, Floats], ids: dict[int, str]) -> list[MovedRecord]:
    """The highest scores first, ties by place."""
    (places,) = np.nonzero(which)
    order = places[np.argsort(-by[places], kind="stable")][:MOST_LISTED]
    return [
        MovedRecord(
            record=ids.get(int(place), ""),
            index=int(place),
            score_before=float(scores[0][place]),
            score_after=float(scores[1][place]),
        )
        for place in order
    ]


def _known_ids(same: Sameness, dataset: str) -> dict[int, str]:
    """Record index -> keyed id, as far as either report names the record: the data are not read for it."""
    known: dict[int, str] = {}
    for run in same.runs:
        removals = run.report.attribution.removals if run.report.attribution else []
        named = [(one.dataset, one.record_index, one.record) for one in run.report.findings]
        named += [(one.dataset, one.record_index, one.record) for one in removals]
        known |= {index: record for of, index, record in named if of == dataset}
    return known

"""String search by a cluster's workers, each of which holds a shard of the records, made ready for search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auditkit.auditing.progress import Stage
from auditkit.auditing.search_elsewhere import Units
from auditkit.auditing.shards import Sharded, ranges
from auditkit.engines.base import Cluster
from auditkit.scoring.strings.best import StringIndex
from auditkit.scoring.strings.pairs import MEASURES

Columns = dict[str, Any]


@dataclass(frozen=True)
class _Matching(Sharded):
    """A block of texts against a shard of the records, in every measure."""

    floor: float

    def opened_shard(self, rows: list[str]) -> Callable[[list[str]], Columns]:
        index = StringIndex(rows)
        return lambda texts: _matched(index, texts, self.floor)

    def what(self) -> str:
        return "texts to match"


def _matched(index: StringIndex, texts: list[str], floor: float) -> Columns:
    found: Columns = {}
    for measure in MEASURES:
        found[f"{measure}_record"], found[measure] = index.best(texts, measure, floor)
    return found


def matched_elsewhere(  # noqa: PLR0917 - what is matched with what, by whom, and who is told
    workers: Cluster,
    records: Sequence[str],
    count: int,
    read: Callable[[slice], list[str]],
    floor: float,
    kept: Path,
    stage: Stage,
) -> Columns | None:
    """Best string matches of ``count`` texts, as ``StringMatching.columns`` gives them.

    None where there is too little to be worth a worker's start.
    """
    units = Units(kept, ranges(len(records), workers.rows_a_shard()), ranges(count, workers.texts_a_unit()))
    if units.count < 2:
        return None
    last = len(units.shards) - 1

    def told(unit: Any) -> None:
        if unit.shard == last:
            stage.advance(units.blocks[unit.block].stop - units.blocks[unit.block].start)

    units.fill(
        workers,
        lambda shards, blocks: _Matching(shards, blocks, floor),
        (lambda rows: list(records[rows]), read),
        told,
    )
    return {
        name: np.concatenate(columns)
        for name, columns in _columns([_best(units, block) for block in range(len(units.blocks))]).items()
    }


def _columns(blocks: list[Columns]) -> dict[str, list[Any]]:
    return {name: [block[name] for block in blocks] for name in blocks[0]}


def _best(units: Units, block: int) -> Columns:
    """Of what the shards found for a block, the most similar; shards come in order, so that ties go to the lowest."""
    best: Columns = {}
    for number, shard in enumerate(units.shards):
        with np.load(units.part(number, block)) as part:
            for measure in MEASURES:
                record, similarity = part[f"{measure}_record"], part[measure]
                record = np.where(record >= 0, record + shard.start, -1)
                if measure in best:
                    better = similarity > best[measure]
                    record = np.where(better, record, best[f"{measure}_record"])
                    similarity = np.where(better, similarity, best[measure])
                best[f"{measure}_record"], best[measure] = record, similarity
    return best

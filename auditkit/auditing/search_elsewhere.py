"""Exact search by a cluster's workers, each of which holds a shard of the vectors: the same pairs, the same scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.auditing.progress import Progress, Silent
from auditkit.auditing.shards import Sharded, Unit, ranges
from auditkit.engines.base import Cluster, Work
from auditkit.files import replacing
from auditkit.scoring.base import Hits, Index, IndexUse, Scores, Search, Vectors
from auditkit.scoring.vectors.index import OpenExact
from auditkit.scoring.vectors.products import as_scores, exact_scores

Floats = npt.NDArray[np.float64]
Arrays = dict[str, Any]


@dataclass(frozen=True)
class _Comparing(Sharded):
    """A block of queries against a shard of vectors, both ways, and every pair that reaches the threshold."""

    threshold: float | None

    def opened_shard(self, rows: Vectors) -> Callable[[Vectors], Arrays]:
        index = OpenExact(rows)
        return lambda queries: _compared(index.search(queries, self.threshold), queries, rows)

    def what(self) -> str:
        return "vectors to compare"


def _compared(search: Search, queries: Vectors, rows: Vectors) -> Arrays:
    """What of one search can be put together with others': scores in float64, where no two are equal by rounding."""
    reached: list[tuple[Index, Index]] = []
    index, _ = search.add(queries, lambda some, others: reached.append((some.copy(), others.copy())))
    nearest, _ = search.nearest
    every, each = np.arange(len(queries)), np.arange(len(rows))
    hits = [np.concatenate(side).astype(np.uint32) for side in zip(*reached, strict=True)] if reached else None
    none = np.zeros(0, np.uint32)
    return {
        "index": index,
        "score": exact_scores(queries, rows, every, index),
        "nearest": nearest,
        "nearest_score": exact_scores(queries, rows, nearest, each),
        "hit_queries": hits[0] if hits else none,
        "hit_rows": hits[1] if hits else none,
    }


def searched_elsewhere(  # noqa: PLR0917 - what is compared with what, by whom, where it is kept, and who is told
    workers: Cluster,
    vectors: Vectors,
    queries: Vectors,
    threshold: float | None,
    kept: Path,
    reason: str,
    progress: Progress | None = None,
) -> Search | None:
    """A search that is done already, a part on disk for each block of queries and each shard.

    Args:
        workers: the cluster.
        vectors: (m, d), in memory or mapped.
        queries: (n, d), in memory or mapped.
        threshold: from which a pair is a hit.
        kept: beginning of the parts' names; a part that is there is not asked for again.
        reason: why exact search was chosen.
        progress: who is told how many shards were compared with how many blocks of queries.

    Returns:
        What found them; None where there is too little to be worth a worker's start.
    """
    units = Units(kept, ranges(len(vectors), workers.rows_a_shard()), ranges(len(queries), workers.texts_a_unit()))
    if units.count < 2:
        return None
    label = f"compare on workers, {kept.name.removeprefix('search-')}"
    with (progress or Silent()).stage(label, units.count, "parts", units.finished) as stage:
        units.fill(
            workers,
            lambda shards, blocks: _Comparing(shards, blocks, threshold),
            (lambda rows: np.array(vectors[rows]), lambda rows: np.array(queries[rows])),
            lambda _: stage.advance(1),
        )
    return _Found(units, len(vectors), reason)


BLOCKS_AHEAD = 64  # of queries that are shared at a time


@dataclass(frozen=True)
class Units:
    """Every shard with every block, each a part on disk once it was searched."""

    kept: Path
    shards: Sequence[slice]
    blocks: Sequence[slice]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.shards) * len(self.blocks)

    @property
    def finished(self) -> int:
        """How many an earlier process made."""
        pairs = product(range(len(self.shards)), range(len(self.blocks)))
        return sum(self.part(*pair).exists() for pair in pairs)

    def part(self, shard: int, block: int) -> Path:
        """Where one is kept; other sizes have other names."""
        rows, asked = self.shards[shard], self.blocks[block]
        return self.kept.with_name(f"{self.kept.name}-{rows.start}-{rows.stop}-{asked.start}-{asked.stop}.npz")

    def fill(
        self,
        workers: Cluster,
        work: Callable[[tuple[Any, ...], tuple[Any, ...]], Work],
        read: tuple[Callable[[slice], Any], Callable[[slice], Any]],
        told: Callable[[Unit], None] = lambda _: None,
    ) -> None:
        """Have every part made that is not there yet, few blocks of queries at a time."""
        for window in ranges(len(self.blocks), BLOCKS_AHEAD):
            numbers = range(window.start, window.stop)
            left = [Unit(s, b) for s in range(len(self.shards)) for b in numbers if not self.part(s, b).exists()]
            if not left:
                continue
            # The index says which; what nobody asks for is not read.
            shards = _shared(workers, self.shards, {unit.shard for unit in left}, read[0])
            blocks = _shared(workers, self.blocks, {unit.block for unit in left}, read[1])
            for position, made in workers.map("score", work(shards, blocks), left):
                _write(self.part(left[position].shard, left[position].block), made)
                told(left[position])


def _shared(
    workers: Cluster, every: Sequence[slice], wanted: set[int], read: Callable[[slice], Any]
) -> tuple[Any, ...]:
    return tuple(workers.share(read(rows)) if number in wanted else None for number, rows in enumerate(every))


def _write(path: Path, arrays: Arrays) -> None:
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


@dataclass
class _Nearest:
    """The best partner of each row so far. Shards and blocks come in order, so that ties go to the first."""

    count: int
    index: Index = field(init=False)
    score: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.index, self.score = np.full(self.count, -1, np.int64), np.full(self.count, -np.inf)

    def take(self, rows: slice, index: Index, score: Floats, first: int) -> None:
        """What other partners offer to some rows; ``first``: the first partner's number."""
        better = score > self.score[rows]
        self.index[rows] = np.where(better, index + first, self.index[rows])
        self.score[rows] = np.where(better, score, self.score[rows])

    @property
    def scores(self) -> Scores:
        return np.where(self.index < 0, np.float32(-np.inf), as_scores(self.score)).astype(np.float32)


class _Found(Search):
    """Parts on disk as a search: asked for the same queries in the same order, it says what each pair's score says."""

    def __init__(self, units: Units, vectors: int, reason: str) -> None:
        self._units, self._reason = units, reason
        self._of_vectors = _Nearest(vectors)
        self._seen = 0
        self._taken = 0  # blocks whose nearest queries are known

    def add(self, queries: Vectors, hits: Hits | None = None) -> tuple[Index, Scores]:
        asked = slice(self._seen, self._seen + len(queries))
        self._seen = asked.stop
        found = _Nearest(len(queries))
        for number, block in enumerate(self._units.blocks):
            if block.start < asked.stop and asked.start < block.stop:
                for shard, part in self._parts(number):
                    self._take(found, part, shard, block, asked)
                    if hits is not None:
                        _tell(hits, part, shard, block, asked)
                self._taken = max(self._taken, number + 1)
        return found.index, found.scores

    def _parts(self, block: int) -> Iterator[tuple[slice, Arrays]]:
        for number, shard in enumerate(self._units.shards):
            with np.load(self._units.part(number, block)) as arrays:
                part = dict(arrays)
            if block >= self._taken:
                first = self._units.blocks[block].start
                self._of_vectors.take(shard, part["nearest"], part["nearest_score"], first)
            yield shard, part

    @staticmethod
    def _take(found: _Nearest, part: Arrays, shard: slice, block: slice, asked: slice) -> None:
        start, stop = max(block.start, asked.start), min(block.stop, asked.stop)
        inside = slice(start - block.start, stop - block.start)
        rows = slice(start - asked.start, stop - asked.start)
        found.take(rows, part["index"][inside], part["score"][inside], shard.start)

    @property
    def nearest(self) -> tuple[Index, Scores]:
        return self._of_vectors.index, self._of_vectors.scores

    @property
    def use(self) -> IndexUse:
        return IndexUse("exact", 1.0, 0, self._reason or "every pair was compared")


def _tell(hits: Hits, part: Arrays, shard: slice, block: slice, asked: slice) -> None:
    """The hits of the queries asked for, counted from the first of them."""
    queries = part["hit_queries"].astype(np.int64) + block.start
    among = (queries >= asked.start) & (queries < asked.stop)
    hits(queries[among] - asked.start, part["hit_rows"][among].astype(np.int64) + shard.start)

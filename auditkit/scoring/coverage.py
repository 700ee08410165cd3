"""How much of a corpus the generations reach: the search from records to generations, in one pass over blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.scoring.base import Index, Scores, Search, Vectors
from auditkit.scoring.vectors.exact_search import ExactSearch
from auditkit.scoring.vectors.mapped import release
from auditkit.scoring.vectors.products import blocks
from auditkit.statistics.forecast import hits_together
from auditkit.statistics.intervals import distinct_interval

DRAWS = 20
FLAGS_AT_ONCE = 1 << 30  # generations x clusters marked at a time, a bit each: 128 MiB
MOST_AT_ONCE = 4096  # generations
WORD = 64

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CoverageResult:
    """What one attack reached of one side (members, or evaluation controls) at one threshold.

    ``incidence`` (clusters,) counts the generations that hit each cluster; ``first_hit`` (clusters,) is the ordinal
    of the first one, -1 where there is none; ``record_hit`` (records,) marks the records covered; ``draw_hits``
    (draws,) counts the scored generations that hit a record of each random subset of ``subsample`` records, and
    ``scored`` the scored generations; ``best_index`` and ``best_score`` (records,) are each record's nearest
    generation, whatever its score. ``threshold`` None: uncalibrated, and everything but the nearest is empty.
    """

    threshold: float | None
    generations: int
    scored: int
    incidence: Index
    first_hit: Index
    record_hit: Flags
    draw_hits: Index
    subsample: int
    best_index: Index
    best_score: Scores

    @property
    def clusters(self) -> int:
        return len(self.incidence)

    @property
    def clusters_hit(self) -> int:
        return int(np.count_nonzero(self.incidence))

    @property
    def records_hit(self) -> int:
        return int(np.count_nonzero(self.record_hit))

    @property
    def share(self) -> float | None:
        """Clusters hit / clusters; None where there are none, or no threshold."""
        return self.clusters_hit / self.clusters if self.clusters and self.threshold is not None else None

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Of ``share``: a Poisson variance over distinct clusters, never a bootstrap over generations."""
        if not self.clusters or self.threshold is None:
            return 0.0, 1.0
        together = hits_together(self.incidence, self.first_hit, self.generations)
        low, high = distinct_interval(self.incidence, confidence, together=together)
        return low / self.clusters, high / self.clusters

    def curve(self, points: Index) -> Floats:
        """(points,) share of clusters hit by the first so many generations."""
        return coverage_curve(self.first_hit, points)


class Coverage:
    """Takes in blocks of generation vectors and keeps only counts; ``result`` may be asked for at any time.

    Args:
        vectors: (records, d) unit rows.
        clusters: (records,) labels of near-duplicates; any whole numbers.
        threshold: tau; None where uncalibrated.
        subsample: records in each random subset of the adjusted rate; by default all.
        seed: of the subsets.
        search: finds generations' nearest records and hits at this threshold; by default compares every pair.

    Cut generations are added as well: one that reproduces a record has leaked it, however it ended.
    """

    def __init__(
        self,
        vectors: Vectors,
        clusters: Index,
        threshold: float | None,
        *,
        subsample: int | None = None,
        seed: int = 0,
        search: Search | None = None,
    ) -> None:
        if len(clusters) != len(vectors):
            raise ValueError("one cluster label for each record")
        self._search = ExactSearch(vectors, threshold) if search is None else search
        self._threshold = threshold
        self._cluster = np.unique(clusters, return_inverse=True)[1].astype(np.int64)
        count = int(self._cluster.max(initial=-1)) + 1
        self._incidence = np.zeros(count, np.int64)
        self._first_hit = np.full(count, -1, np.int64)
        self._record_hit = np.zeros(len(vectors), np.bool_)
        subsets = random_subsets(len(vectors), subsample, seed)
        self._subsets = (subsets << np.arange(len(subsets), dtype=np.uint32)[:, None]).sum(axis=0, dtype=np.uint32)
        self._draw_hits = np.zeros(len(subsets), np.int64)
        self._subsample = min(len(vectors), len(vectors) if subsample is None else subsample)
        self._at_once = min(MOST_AT_ONCE, max(1, FLAGS_AT_ONCE // max(1, count) // WORD) * WORD)
        self._ordinals: list[Index] = []
        self._generations = self._scored = 0

    def add(self, block: Vectors, first_ordinal: int, scored: Flags | None = None) -> tuple[Index, Scores]:
        """Take in the generations ``first_ordinal``, ``first_ordinal`` + 1, ...; blocks come in order.

        Args:
            block: (n, d) unit rows.
            first_ordinal: of the block's first generation.
            scored: (n,) which of them are complete and count in rates; by default all.

        Returns:
            index (n,), score (n,) of each generation's nearest record.
        """
        complete = np.ones(len(block), np.bool_) if scored is None else np.asarray(scored, np.bool_)
        self._ordinals.append(np.array([self._generations, first_ordinal], np.int64))
        self._generations += len(block)
        self._scored += int(complete.sum())
        index, score = np.empty(len(block), np.int64), np.empty(len(block), np.float32)
        for part in blocks(len(block), self._at_once):
            index[part], score[part] = self._mark(block[part], first_ordinal + part.start, complete[part])
            release(block, part.start, part.stop)
        return index, score

    def _mark(self, part: Vectors, first_ordinal: int, complete: Flags) -> tuple[Index, Scores]:
        """Generations few enough for a bit each for every cluster."""
        if self._threshold is None:
            return self._search.add(part)
        from auditkit.scoring.coverage_kernels import mark, tally

        hit = np.zeros((len(self._incidence), -(-len(part) // WORD)), np.uint64)
        in_subsets = np.zeros(len(part), np.uint32)

        def hits(generations: Index, records: Index) -> None:
            mark(generations, records, self._cluster, self._subsets, hit, self._record_hit, in_subsets)

        found = self._search.add(part, hits)
        tally(hit, first_ordinal, self._incidence, self._first_hit)
        draws = np.arange(len(self._draw_hits), dtype=np.uint32)
        self._draw_hits += (in_subsets[complete, None] >> draws & 1).sum(axis=0, dtype=np.int64)
        return found

    def result(self) -> CoverageResult:
        """What the blocks so far have reached."""
        nearest, score = self._search.nearest
        return CoverageResult(
            threshold=self._threshold,
            generations=self._generations,
            scored=self._scored,
            incidence=self._incidence.copy(),
            first_hit=self._first_hit.copy(),
            record_hit=self._record_hit.copy(),
            draw_hits=self._draw_hits.copy(),
            subsample=self._subsample,
            best_index=self._as_ordinals(nearest),
            best_score=score,
        )

    def _as_ordinals(self, positions: Index) -> Index:
        """Positions in the stream as ordinals of generations; -1 stays."""
        if not self._ordinals:
            return positions.copy()
        starts = np.array(self._ordinals)
        block = np.maximum(np.searchsorted(starts[:, 0], positions, side="right") - 1, 0)
        return np.where(positions < 0, -1, positions - starts[block, 0] + starts[block, 1])


def random_subsets(records: int, subsample: int | None, seed: int, draws: int = DRAWS) -> Flags:
    """(draws, records) which records each random subset holds; one row of all where none is left out."""
    if subsample is None or subsample >= records:
        return np.ones((1, records), np.bool_)
    random = np.random.default_rng([seed, 0x737562])
    subsets = np.zeros((draws, records), np.bool_)
    for row in subsets:
        row[random.choice(records, size=subsample, replace=False)] = True
    return subsets


def coverage_curve(first_hit: Index, points: Index) -> Floats:
    """(points,) share of clusters whose first hit came within the first so many generations.

    Args:
        first_hit: (clusters,) ordinal of the first generation that hit each, -1 where none did.
        points: (points,) numbers of generations.
    """
    hits = np.sort(first_hit[first_hit >= 0])
    reached = np.searchsorted(hits, np.asarray(points), side="left")  # ordinal k is among the first k + 1
    return np.asarray(reached / max(1, len(first_hit)), dtype=np.float64)


def curve_points(generations: int, points: int = 40) -> Index:
    """(up to ``points`` + 1,) evenly spaced numbers of generations from 0 to all of them."""
    return np.unique(np.linspace(0, generations, points + 1).round().astype(np.int64))

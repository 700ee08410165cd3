"""How hard a graph must be searched: until a sample of the queries finds what exact search finds.

Which effort is enough is told by some queries, and how much it misses by others: those that chose it would flatter it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.scoring.base import RECALL, Index, IndexUse, Scores, Vectors
from auditkit.scoring.vectors.exact_search import ExactSearch
from auditkit.scoring.vectors.hnsw_search import CANDIDATES, Found, GraphedVectors, HnswSearch
from auditkit.scoring.vectors.products import as_scores, blocks
from auditkit.statistics.intervals import clopper_pearson

NEAR = 0.05  # below the threshold: scores from here up decide what is reported
TUNED_ON, MEASURED_ON = 500, 3000  # queries
ROUND, MOST_SAMPLED = 1024, 8192  # queries of the sample at a time, and in all
PAIRS_BLOCK, MOST_PAIRS = 128, 1 << 21  # queries at a time whose hits are gathered, and hits after which no more are
EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)


@dataclass(frozen=True)
class Sample:
    """Queries with what exact search finds for them: the nearest one's score (n,), and the hits as (query, row).

    ``hits`` are those of the first ``judged`` queries: of records that repeat, all hits would not fit in memory.
    """

    queries: Vectors
    score: Scores
    hits: tuple[Index, Index]
    judged: int
    threshold: float | None


@dataclass(frozen=True)
class Samples:
    """``tuning`` chooses the effort, ``fresh`` says what is missed. ``whole``: both are all queries that matter."""

    tuning: Sample
    fresh: Sample
    whole: bool
    described: str


def drawn_samples(queries: Vectors, vectors: Vectors, threshold: float | None, seed: int, *, tuned: bool) -> Samples:
    """Queries at random; with a threshold, of these the ones whose best score is near it or above.

    Rounds are drawn until there are enough near ones. Where there are too few, those with the best scores stand in.
    ``tuned``: an effort is chosen, so that other queries have to say what it misses.
    """
    order = np.random.default_rng(seed).permutation(len(queries))[:MOST_SAMPLED]
    aim = MEASURED_ON + TUNED_ON * tuned
    drawn, score = _scored(queries, vectors, threshold, order, aim)
    near = score >= (-np.inf if threshold is None else threshold - NEAR)
    whole = len(drawn) == len(queries) and int(near.sum()) <= MEASURED_ON
    least = min(len(drawn), TUNED_ON if whole else 2 * TUNED_ON)
    best = np.sort(np.argsort(-score, kind="stable")[:least])
    chosen = (np.flatnonzero(near) if near.sum() >= least else best)[:aim]
    described = f"{int(near[chosen].sum()):,} of {len(drawn):,} sampled queries near the threshold or above"
    split = 0 if whole or not tuned else TUNED_ON
    fresh = _with_hits(queries, vectors, drawn[chosen[split:]], threshold)
    tuning = _with_hits(queries, vectors, drawn[chosen[:split]], threshold) if split else fresh
    return Samples(tuning, fresh, whole, "" if threshold is None else described)


def _scored(
    queries: Vectors, vectors: Vectors, threshold: float | None, order: Index, aim: int
) -> tuple[Index, Scores]:
    """Queries in this order with their best scores, until ``aim`` of them are near the threshold."""
    exact = ExactSearch(vectors, threshold, nearest_queries=False)
    found, near = [np.empty(0, np.float32)], 0
    for part in blocks(len(order), ROUND if threshold is not None else aim):
        found.append(exact.add(np.asarray(queries[order[part]], np.float32))[1])
        near += int((found[-1] >= (-np.inf if threshold is None else threshold - NEAR)).sum())
        if near >= aim:
            break
    score = np.concatenate(found)
    return order[: len(score)], score


def _with_hits(queries: Vectors, vectors: Vectors, rows: Index, threshold: float | None) -> Sample:
    chosen = np.asarray(queries[rows], np.float32)
    search = ExactSearch(vectors, threshold, nearest_queries=False)
    score = np.empty(len(rows), np.float32)
    found: list[tuple[Index, Index]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    pairs = judged = 0
    for part in blocks(len(rows), PAIRS_BLOCK):
        some: list[tuple[Index, Index]] = []
        wanted = threshold is not None and pairs < MOST_PAIRS
        _, score[part] = search.add(chosen[part], (lambda *hits, some=some: some.append(hits)) if wanted else None)
        found += [(query + part.start, row) for query, row in some]
        pairs += sum(len(row) for _, row in some)
        judged = part.stop if wanted else judged
    hits = np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])
    return Sample(chosen, score, hits, judged, threshold)


def least_effort(graphed: GraphedVectors, samples: Samples) -> int | None:
    """The least ef that reaches ``RECALL`` on the tuning sample, None where none does.

    One step more where other queries are to be found as well: a few hundred without a miss allow one in a hundred.
    """
    for place, ef in enumerate(EFFORTS):
        if _right(graphed, samples.tuning, ef).mean() < RECALL:
            continue
        use = measured(graphed, samples.tuning, ef)
        if use.found >= RECALL or use.cut:  # no effort helps where too many records are near
            return EFFORTS[min(place + (not samples.whole), len(EFFORTS) - 1)]
    return None


def measured(graphed: GraphedVectors, sample: Sample, ef: int) -> IndexUse:
    """What a search with this ``ef`` misses of the sample, and how often it is cut short there."""
    right = _right(graphed, sample, ef)
    pairs, pair_recall, cut = len(sample.hits[0]), None, 0
    if pairs:
        search = HnswSearch(graphed, ef, sample.threshold, IndexUse("hnsw", 0.0, 0))
        found: list[Index] = [np.empty(0, np.int64)]
        width = len(graphed.vectors)
        search.add(sample.queries[: sample.judged], lambda queries, rows: found.append(queries * width + rows))
        exact = sample.hits[0] * width + sample.hits[1]
        pair_recall, cut = float(np.isin(exact, np.concatenate(found)).mean()), search.use.cut
    recall = float(right.mean()) if len(right) else 1.0
    return IndexUse("hnsw", recall, len(right), pair_recall=pair_recall, pairs=pairs, cut=cut)


def _right(graphed: GraphedVectors, sample: Sample, ef: int) -> npt.NDArray[np.bool_]:
    """(n,) whether a query's match by the graph is as near as the exact one."""
    _, best = Found.of(graphed, sample.queries, CANDIDATES, ef).best()
    right: npt.NDArray[np.bool_] = as_scores(best) >= sample.score
    return right


def shown(samples: Samples, use: IndexUse) -> str:
    """What so many queries can show of the recall."""
    if samples.whole:
        return f"recall@1 measured on all {use.queries:,} queries that matter"
    low, _ = clopper_pearson(round(use.recall_at_1 * use.queries), use.queries)
    return f"{use.queries:,} queries other than those that it was tuned on show a recall@1 of {low:.2%} or more (95 %)"

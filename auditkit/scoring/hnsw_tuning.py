"""How hard a graph must be searched: until a sample of the queries finds what exact search finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditkit.scoring.base import Index, IndexUse, Scores, Vectors
from auditkit.scoring.exact_search import ExactSearch
from auditkit.scoring.hnsw_search import CANDIDATES, Found, GraphedVectors, HnswSearch
from auditkit.scoring.products import as_scores, blocks

RECALL = 0.999
NEAR = 0.05  # below the threshold: scores from here up decide what is reported
ENOUGH = 500  # queries whose recall is measured
ROUND, MOST_SAMPLED = 1024, 8192  # queries of the sample at a time, and in all
EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)


@dataclass(frozen=True)
class Sample:
    """Queries with what exact search finds for them: the nearest one's score (n,), and the hits as (query, row)."""

    queries: Vectors
    score: Scores
    hits: tuple[Index, Index]
    threshold: float | None
    described: str


def drawn_sample(queries: Vectors, vectors: Vectors, threshold: float | None, seed: int) -> Sample:
    """Queries at random; with a threshold, of these the ones whose best score is near it or above.

    Rounds are drawn until there are ``ENOUGH`` near ones. Where there are too few, those with the best scores stand in.
    """
    order = np.random.default_rng(seed).permutation(len(queries))[:MOST_SAMPLED]
    exact = ExactSearch(vectors, threshold, nearest_queries=False)
    drawn, found = np.empty(0, np.int64), np.empty(0, np.float32)
    near = np.empty(0, np.bool_)
    for part in blocks(len(order), ROUND if threshold is not None else ENOUGH):
        rows = np.sort(order[part])
        drawn = np.append(drawn, rows)
        found = np.append(found, exact.add(np.asarray(queries[rows], np.float32))[1])
        near = found >= (-np.inf if threshold is None else threshold - NEAR)
        if near.sum() >= ENOUGH:
            break
    best = np.argsort(-found, kind="stable")[:ENOUGH]
    chosen = np.sort(np.flatnonzero(near) if near.sum() >= len(best) else best)
    described = f"{int(near[chosen].sum()):,} of {len(drawn):,} sampled queries near the threshold or above"
    return _with_hits(queries, vectors, drawn[chosen], threshold, "" if threshold is None else described)


def _with_hits(queries: Vectors, vectors: Vectors, rows: Index, threshold: float | None, described: str) -> Sample:
    found: list[tuple[Index, Index]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    search = ExactSearch(vectors, threshold, nearest_queries=False)
    chosen = np.asarray(queries[rows], np.float32)
    _, score = search.add(chosen, lambda *pairs: found.append(pairs))
    hits = np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])
    return Sample(chosen, score, hits, threshold, described)


def recall_at_1(graphed: GraphedVectors, sample: Sample, ef: int) -> float:
    """The share of the sample's queries whose match by the graph is as near as the exact one."""
    if not len(sample.queries):
        return 1.0
    _, best = Found.of(graphed, sample.queries, CANDIDATES, ef).best()
    return float(np.mean(as_scores(best) >= sample.score))


def least_effort(graphed: GraphedVectors, sample: Sample) -> tuple[int, float]:
    """The least ef that reaches ``RECALL`` on the sample, and the recall; the largest one where none does."""
    recall = 0.0
    for ef in EFFORTS:
        recall = recall_at_1(graphed, sample, ef)
        if recall >= RECALL:
            return ef, recall
    return EFFORTS[-1], recall


def measured_use(graphed: GraphedVectors, sample: Sample, ef: int, reason: str) -> IndexUse:
    """What a search with this ``ef`` misses of the sample."""
    pairs, recall = len(sample.hits[0]), None
    if pairs:
        search = HnswSearch(graphed, ef, sample.threshold, IndexUse("hnsw", 0.0, 0))
        found: list[Index] = []
        width = len(graphed.vectors)
        search.add(sample.queries, lambda queries, rows: found.append(queries * width + rows))
        exact = sample.hits[0] * width + sample.hits[1]
        recall = float(np.isin(exact, np.concatenate(found)).mean())
    return IndexUse(
        "hnsw", recall_at_1(graphed, sample, ef), len(sample.queries), reason, pair_recall=recall, pairs=pairs
    )

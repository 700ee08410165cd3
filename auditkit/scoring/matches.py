"""What to show of the matches: the leaked records with their best evidence, and random pairs from every band."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from auditkit.scoring.base import Index, Scores


@dataclass(frozen=True)
class TopFindings:
    """The best generation of each leaked cluster, best first: record, generation and score (k,); ``total`` uncapped."""

    record: Index
    generation: Index
    score: Scores
    total: int


@dataclass(frozen=True)
class Band:
    """Pairs drawn at random from one band of score: positions among the generations, ascending score not implied."""

    low: float
    high: float
    members: Index
    population: int


def top_findings(
    best_score: Scores, best_generation: Index, clusters: Index, threshold: float | None, cap: int
) -> TopFindings:
    """The leaked clusters, each by its best record and generation, ordered by score and then by record.

    Args:
        best_score: (records,) score of each record's nearest generation.
        best_generation: (records,) that generation's ordinal.
        clusters: (records,) near-duplicate labels.
        threshold: tau; None (uncalibrated) finds nothing.
        cap: findings shown at most.
    """
    if threshold is None:
        threshold = np.inf
    leaked = np.flatnonzero(best_score >= threshold)
    ordered = leaked[np.lexsort((leaked, -best_score[leaked]))]
    # Best first, so the first record of a cluster is its best.
    _, first = np.unique(clusters[ordered], return_index=True)
    chosen = ordered[np.sort(first)]
    shown = chosen[:cap]
    return TopFindings(shown, best_generation[shown], best_score[shown], len(chosen))


def bands(scores: Scores, width: float = 0.05, per_band: int = 5, seed: int = 0) -> Iterator[Band]:
    """From each band of score that holds any generation up to ``per_band`` of them, drawn at random.

    Args:
        scores: (generations,) best scores; those that are not finite are left out.
        width: of a band; the last one includes 1.

    Yields:
        Bands from low to high, each with positions into ``scores``, ascending.
    """
    positions = np.flatnonzero(np.isfinite(scores))
    # The nudge puts 0.95 into the band that starts there, which binary fractions would miss.
    band = np.floor(scores[positions].astype(np.float64) / width + 1e-6).astype(np.int64)
    band = np.minimum(band, round(1 / width) - 1)
    for number in np.unique(band):
        inside = positions[band == number]
        random = np.random.default_rng([seed, int(number) + 1000])
        drawn = np.sort(random.choice(inside, size=min(per_band, len(inside)), replace=False))
        low = round(float(number) * width, 10)
        yield Band(low, round(low + width, 10), drawn.astype(np.int64), len(inside))

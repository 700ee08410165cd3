"""Threshold curves for the tests of pages, with intervals as the audit itself computes them."""

from __future__ import annotations

from functools import cache

import numpy as np

from auditkit.auditing.thresholds import ThresholdHits
from auditkit.report.base import AuditReport
from auditkit.report.scored import ThresholdCurve
from auditkit.scoring.threshold_curve import DrawnHits, threshold_grid
from tests.report.builder import ATTACKS, DATASETS

GENERATIONS, RECORDS, DRAWS = 2000, 452, 20


def hits(leak: float, threshold: float | None, records: int, seed: int) -> DrawnHits:
    """Hits of 2,000 generations of which a share leaks, over draws that differ a little."""
    grid, rng = threshold_grid(threshold), np.random.default_rng(seed)
    leaking = rng.random(GENERATIONS) < leak
    scores = np.where(leaking, rng.normal(0.95, 0.03, GENERATIONS), rng.normal(0.6, 0.09, GENERATIONS))
    chance = rng.normal(0.58, 0.09, GENERATIONS)
    members, controls = (
        np.array([(side[:, None] + 0.001 * draw >= grid).sum(axis=0) for draw in range(DRAWS)])
        for side in (scores, chance)
    )
    return DrawnHits(grid, members, controls, scored=GENERATIONS, records=records)


@cache
def curves(threshold: float | None, seed: int = 3) -> list[ThresholdCurve]:
    """Two attacks on two datasets, drawn both ways."""
    made: list[ThresholdCurve] = []
    for dataset, leak in zip(DATASETS, (0.6, 0.01), strict=True):
        for attack, strength in zip(ATTACKS, (1.0, 0.3), strict=True):
            both = (hits(leak * strength, threshold, records, seed) for records in (RECORDS, RECORDS // 2))
            made += ThresholdHits(*both).curves(attack, dataset, "record")
    return made


def with_curves(report: AuditReport) -> AuditReport:
    """The report with curves through the thresholds that it was calibrated to."""
    threshold = report.calibration[0].threshold if report.calibration else None
    return report.model_copy(update={"thresholds": curves(threshold)})

"""Members against controls of like length: long texts score unlike short ones, whatever a model was trained on."""

from __future__ import annotations

import numpy as np

from auditkit.records import Estimate
from auditkit.scoring.coverage import CoverageResult
from auditkit.scoring.metrics import DRAWN, NOTHING_SCORED, UNCALIBRATED, Scope, drawn_difference
from auditkit.scoring.threshold_curve import DrawnHits
from auditkit.statistics.forecast import hits_together
from auditkit.statistics.intervals import difference_interval, distinct_interval, weighted_poisson_interval
from auditkit.statistics.length_matching import LengthMatch
from auditkit.statistics.matching import Strata


def length_matched_semantic_rate(
    scope: Scope, hits: DrawnHits, threshold: float | None, unscored: int, match: LengthMatch
) -> Estimate:
    """``adjusted_semantic_rate`` with members and controls drawn to the same lengths.

    ``hits`` are of ``threshold_curve.length_subsets``: equally many records of each stratum of length on both sides;
    ``match`` is of the same lengths.
    """
    metric, method = "length_matched_semantic_rate", f"{DRAWN}; strata of length{_left(match)}{_thinned(hits)}"
    if threshold is None:
        return scope.undefined(metric, method, UNCALIBRATED, unscored)
    if match.draw_reason or not hits.records or not hits.scored:
        return scope.undefined(metric, method, match.draw_reason or NOTHING_SCORED, unscored)
    members, controls = hits.at(threshold)
    difference, low, high = drawn_difference(members, controls, hits.scored)
    counts = {"numerator": float(np.mean(members)), "denominator": float(hits.scored), "unscored": unscored}
    return scope.estimate(metric, difference, low, high, method=method, **counts)


def length_matched_coverage(
    scope: Scope, members: CoverageResult, controls: CoverageResult, match: LengthMatch
) -> Estimate:
    """Coverage of the dataset, its strata of length weighted as the controls have them, minus that of the controls.

    Args:
        scope: dataset, attack and view.
        members, controls: of the clusters; those of no stratum are left out.
        match: of the clusters of both sides, in the order of ``incidence``. Where length still tells them apart, the
            figure is withheld.

    The hits of a stratum scatter at most as a Poisson count does, and a weighted sum of these has a conservative
    interval [Fay & Feuer 1997]; where more than half is hit, the clusters left are counted instead. Clusters that come
    together count as one (``forecast.hits_together``).
    """
    metric = "length_matched_coverage"
    method = (
        "difference by square-and-add (MOVER) of a weighted Poisson sum (Fay-Feuer) and a distinct count; strata of "
        f"length{_left(match)}"
    )
    unscored = members.generations - members.scored
    if members.threshold is None or controls.threshold is None:
        return scope.undefined(metric, method, UNCALIBRATED, unscored)
    if match.reason:
        return scope.undefined(metric, method, match.reason, unscored)
    ours, theirs = match.strata.matched
    a = _weighted_coverage(members, match.strata)
    hit = controls.incidence[theirs]
    together = hits_together(controls.incidence, controls.first_hit, max(1, controls.generations))
    share = np.count_nonzero(hit) / len(hit)
    b_low, b_high = (end / len(hit) for end in distinct_interval(hit, together=together))
    low, high = difference_interval(*a, share, b_low, b_high)
    return scope.estimate(
        metric,
        a[0] - share,
        max(-1.0, low),
        min(1.0, high),
        method=method,
        numerator=float(np.count_nonzero(members.incidence[ours])),
        denominator=float(np.count_nonzero(ours)),
        unscored=unscored,
    )


def _thinned(hits: DrawnHits) -> str:
    return f"; every {hits.every:,}-th generation" if hits.every > 1 else ""


def _left(match: LengthMatch) -> str:
    """What the matching leaves of a difference in length, and how many controls it compares with."""
    theirs = match.strata.matched[1]
    if match.auc is None:
        return ""
    return f" of {np.count_nonzero(theirs):,} of {theirs.size:,} controls leave an AUC of length of {match.auc:.3f}"


def _weighted_coverage(members: CoverageResult, strata: Strata) -> tuple[float, float, float]:
    """Coverage of the members in the controls' proportions of length, with its 95 % interval."""
    ours, theirs = (side[side >= 0] for side in (strata.members, strata.controls))
    count = int(ours.max()) + 1
    sizes, wanted = np.bincount(ours, minlength=count), np.bincount(theirs, minlength=count)
    hits = np.bincount(ours, members.incidence[strata.members >= 0] > 0, minlength=count)
    weights = wanted / wanted.sum() / sizes
    together = hits_together(members.incidence, members.first_hit, max(1, members.generations))
    value = float(np.sum(weights * hits))
    if value <= 0.5:
        low, high = weighted_poisson_interval(hits, weights, together=together)
    else:
        high, low = (1 - end for end in weighted_poisson_interval(sizes - hits, weights, together=together))
    return value, max(0.0, low), min(1.0, high)

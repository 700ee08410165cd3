"""The extraction metrics of METRICS.md as estimates: each with interval, method, numerator, denominator, unscored.

A figure that the data leave undefined has the value None and the reason; NaN appears nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.records import Estimate, View
from auditkit.scoring.base import Index, Scores
from auditkit.scoring.coverage import CoverageResult
from auditkit.scoring.strings.pairs import reaches
from auditkit.statistics.intervals import clopper_pearson, difference_interval, mean_difference_interval

Flags = npt.NDArray[np.bool_]

CLOPPER_PEARSON = "Clopper-Pearson"
DISTINCT = "distinct count: +-1.96 sqrt(S(2n) - S(n)), Garwood where few or nearly all were hit"
DRAWN = "difference by square-and-add (MOVER) of two Clopper-Pearson intervals, spread of the draws added"
UNCALIBRATED = "there is no semantic threshold: uncalibrated"
NOTHING_SCORED = "no generation could be scored"
AT_LEAST = (
    "every generation was cut, empty or failed: what the cut ones reached counts, so that this is the least that "
    "leaks, and what whole ones would have reached is not known"
)


@dataclass(frozen=True)
class Scope:
    """What an estimate is of."""

    dataset: str
    attack: str
    view: View = "record"

    def estimate(
        self, metric: str, value: float | None, low: float | None, high: float | None, **rest: Any
    ) -> Estimate:
        """An estimate in this scope, its numbers as plain floats."""
        return Estimate(
            metric,
            self.dataset,
            self.attack,
            _plain(value),
            _plain(low),
            _plain(high),
            view=self.view,
            **rest,
        )

    def undefined(self, metric: str, method: str, reason: str, unscored: int = 0) -> Estimate:
        """An estimate without a value."""
        return self.estimate(metric, None, None, None, method=method, unscored=unscored, reason=reason)


def _plain(number: float | None) -> float | None:
    return None if number is None else float(number)


def semantic_memorisation_rate(scope: Scope, scores: Scores, scored: Flags, threshold: float | None) -> Estimate:
    """The share of scored generations whose best embedding score reaches the threshold.

    ``scores`` and ``scored`` are (generations,): the best score over all records, and whether the generation is whole.
    """
    if threshold is None:
        unscored = int(np.count_nonzero(~scored))
        return scope.undefined("semantic_memorisation_rate", CLOPPER_PEARSON, UNCALIBRATED, unscored)
    return _rate(scope, "semantic_memorisation_rate", scores >= threshold, scored)


def string_memorisation_rate(
    scope: Scope,
    similarities: npt.NDArray[np.float64],
    scored: Flags,
    measure: str = "levenshtein",
    threshold: float = 0.9,
) -> Estimate:
    """The share of scored generations whose best string similarity reaches the threshold [Barbero 2025, sec. 4.1].

    Named ``string_memorisation_rate`` for Levenshtein and ``string_memorisation_rate_indel`` for Indel.
    """
    metric = "string_memorisation_rate" + ("" if measure == "levenshtein" else f"_{measure}")
    return _rate(scope, metric, reaches(similarities, threshold), scored)


def _rate(scope: Scope, metric: str, hit: Flags, scored: Flags) -> Estimate:
    trials, hits = int(np.count_nonzero(scored)), int(np.count_nonzero(hit & scored))
    unscored = len(scored) - trials
    if not trials:
        return scope.undefined(metric, CLOPPER_PEARSON, NOTHING_SCORED, unscored)
    low, high = clopper_pearson(hits, trials)
    counts = {"numerator": float(hits), "denominator": float(trials), "unscored": unscored}
    return scope.estimate(metric, hits / trials, low, high, method=CLOPPER_PEARSON, **counts)


def undercount_ratio(scope: Scope, semantic: Flags, string: Flags, scored: Flags) -> Estimate:
    """How many times more memorisation the embeddings find than the strings: semantic rate / string rate.

    Args:
        semantic, string: (generations,) whether each measure calls the generation memorised.
        scored: (generations,) whether it is whole.

    Both rates come from the same generations; the interval takes each rate's own at 97.5 %, which holds however the
    two depend on each other. Without a string match there is no value, and the low end says how large it is at least.
    """
    method = "ratio of two Clopper-Pearson intervals at 97.5 % (Bonferroni)"
    trials = int(np.count_nonzero(scored))
    unscored = len(scored) - trials
    if not trials:
        return scope.undefined("undercount_ratio", method, NOTHING_SCORED, unscored)
    hits, matches = (int(np.count_nonzero(flags & scored)) for flags in (semantic, string))
    low, high = clopper_pearson(hits, trials, 0.975)
    string_low, string_high = clopper_pearson(matches, trials, 0.975)
    return scope.estimate(
        "undercount_ratio",
        hits / matches if matches else None,
        low / string_high,
        high / string_low if matches else None,
        method=method,
        numerator=float(hits),
        denominator=float(matches),
        unscored=unscored,
        reason="" if matches else f"no string match; the ratio is at least {low / string_high:.3g}",
    )


def coverage_estimate(scope: Scope, members: CoverageResult) -> Estimate:
    """The share of near-duplicate clusters of the dataset that some generation reaches."""
    unscored = members.generations - members.scored
    if members.share is None:
        return scope.undefined("coverage", DISTINCT, _no_coverage(members, "records"), unscored)
    return scope.estimate(
        "coverage",
        members.share,
        *members.interval(),
        method=DISTINCT,
        numerator=float(members.clusters_hit),
        denominator=float(members.clusters),
        unscored=unscored,
        reason=_at_least(members),
    )


def adjusted_coverage_estimate(scope: Scope, members: CoverageResult, controls: CoverageResult) -> Estimate:
    """Coverage of the dataset minus coverage of the evaluation controls: what is above chance resemblance.

    The numerator and denominator are those of the dataset's own coverage.
    """
    method = f"difference by square-and-add (MOVER) of two intervals, each a {DISTINCT}"
    unscored = members.generations - members.scored
    a, b = members.share, controls.share
    if a is None or b is None:
        lacking = _no_coverage(members, "records") if a is None else _no_coverage(controls, "evaluation controls")
        return scope.undefined("adjusted_coverage", method, lacking, unscored)
    low, high = difference_interval(a, *members.interval(), b, *controls.interval())
    return scope.estimate(
        "adjusted_coverage",
        a - b,
        max(-1.0, low),
        min(1.0, high),
        method=method,
        numerator=float(members.clusters_hit),
        denominator=float(members.clusters),
        unscored=unscored,
        reason=_at_least(members),
    )


def _at_least(side: CoverageResult) -> str:
    """A record that a cut generation reproduces has leaked; that none did says nothing."""
    return AT_LEAST if side.generations and not side.scored else ""


def _no_coverage(side: CoverageResult, what: str) -> str:
    return UNCALIBRATED if side.threshold is None else f"there are no {what}"


def adjusted_semantic_rate(scope: Scope, members: CoverageResult, controls: CoverageResult) -> Estimate:
    """The semantic rate against as many members as there are evaluation controls, minus the rate against those.

    The best of many scores is higher than the best of few, so both sides are searched over equally many records: the
    mean of 20 random draws of members (of controls, where these are more). Give both ``Coverage`` the same
    ``subsample``: the smaller of the two numbers of records.

    Raises:
        ValueError: the two sides were searched over different numbers of records, or different generations.
    """
    method = DRAWN
    if members.scored != controls.scored:
        raise ValueError("members and controls need the same generations")
    unscored = members.generations - members.scored
    if members.share is None or controls.share is None or not members.scored:
        sides = ((members, "records"), (controls, "evaluation controls"))
        lacking = next((_no_coverage(side, what) for side, what in sides if side.share is None), NOTHING_SCORED)
        return scope.undefined("adjusted_semantic_rate", method, lacking, unscored)
    if members.subsample != controls.subsample:
        raise ValueError("members and controls need the same subsample")
    difference, low, high = drawn_difference(members.draw_hits, controls.draw_hits, members.scored)
    return scope.estimate(
        "adjusted_semantic_rate",
        difference,
        low,
        high,
        method=method,
        numerator=float(np.mean(members.draw_hits)),
        denominator=float(members.scored),
        unscored=unscored,
    )


def drawn_difference(members: Index, controls: Index, scored: int) -> tuple[float, float, float]:
    """A rate against random draws of members minus that against draws of controls, with its 95 % interval.

    ``members`` and ``controls`` are (draws,) hits among ``scored`` generations, at least 1.
    """
    a, b = drawn_rate(members, scored), drawn_rate(controls, scored)
    low, high = difference_interval(*a, *b)
    return a[0] - b[0], max(-1.0, low), min(1.0, high)


def drawn_rate(draw_hits: Index, scored: int) -> tuple[float, float, float]:
    """Mean rate over the draws with its interval: that of one draw's count, and the error of a mean of few draws."""
    hits = float(np.mean(draw_hits))
    low, high = clopper_pearson(hits, scored)
    draws = len(draw_hits)
    spread = 1.96 * float(np.std(draw_hits, ddof=1)) / draws**0.5 / scored if draws > 1 else 0.0
    value = hits / scored
    return value, max(0.0, value - float(np.hypot(value - low, spread))), value + float(np.hypot(high - value, spread))


def prefix_gain(scope: Scope, template: Scores, template_scored: Flags, bos: Scores, bos_scored: Flags) -> Estimate:
    """Mean best embedding score under the template prefix minus under BOS alone, same n [Barbero 2025, table 1].

    ``template`` and ``bos`` are the best scores of each attack's generations; of the scored ones n of each
    are compared, n the smaller number, spread evenly over the attack: its prefixes come one after the other.
    """
    method = "Welch"
    a, b = template[template_scored], bos[bos_scored]
    n = min(len(a), len(b))
    unscored = int(np.count_nonzero(~template_scored) + np.count_nonzero(~bos_scored))
    if n < 2:
        reason = "each prefix needs at least two scored generations"
        return scope.undefined("prefix_gain", method, reason, unscored)
    a, b = (side[np.linspace(0, len(side) - 1, n).round().astype(np.int64)] for side in (a, b))
    low, high = mean_difference_interval(a, b)
    value = float(np.mean(a, dtype=np.float64) - np.mean(b, dtype=np.float64))
    return scope.estimate("prefix_gain", value, low, high, method=method, denominator=float(n), unscored=unscored)

"""A mitigation that does nothing: how often does the interval of its difference hold 0?

Baseline and arm are then two runs of one model. Pairs of runs are drawn from a large pool of stored generations, each
run is estimated as an audit estimates it, and the two are compared as an audit compares an arm with its baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from auditkit.lab.resampled_intervals import (
    FEWEST_RUNS,
    Plan,
    TwoSides,
    coverage_results,
    distinct_spread,
    judged,
    undefined,
)
from auditkit.lab.resampling import Flags, Floats, drawn, holding
from auditkit.records import Estimate
from auditkit.report.instrument import IntervalCheck
from auditkit.scoring.metrics import (
    Scope,
    adjusted_coverage_estimate,
    coverage_estimate,
    semantic_memorisation_rate,
    string_memorisation_rate,
)
from auditkit.scoring.strings.pairs import reaches
from auditkit.statistics.differences import difference

WHAT = "pairs of runs of one model"


@dataclass(frozen=True)
class NullPool:
    """Stored generations of one attack on one dataset, as an audit matched them; (pool,) each but ``sides``.

    ``semantic_threshold`` and ``string_threshold`` are the audit's own.
    """

    dataset: str
    sides: TwoSides
    scores: npt.NDArray[np.float32]
    similarities: Floats
    complete: Flags
    semantic_threshold: float
    string_threshold: float


def null_checks(pool: NullPool, plan: Plan) -> list[IntervalCheck]:
    """Of each leakage metric, in how many of ``plan.runs`` pairs the interval of the difference holds 0.

    Both runs of a pair have ``plan.draws`` generations, drawn independently with replacement.

    Raises:
        ValueError: so few pairs that they could not tell 92 from 98 %.
    """
    if plan.runs < FEWEST_RUNS:
        raise ValueError(f"at least {FEWEST_RUNS} pairs are needed")
    both = replace(plan, runs=2 * plan.runs)
    rates = _rates(pool, both)
    semantic, string = pool.scores >= pool.semantic_threshold, reaches(pool.similarities, pool.string_threshold)
    members = pool.sides.members.grouped(pool.sides.member_clusters)
    checks = [
        _check(pool, "coverage", list(_coverage(pool, both)), plan, distinct_spread(members, both)),
        _check(pool, "semantic_memorisation_rate", [one for one, _ in rates], plan, _events(semantic, pool, plan)),
        _check(pool, "string_memorisation_rate", [one for _, one in rates], plan, _events(string, pool, plan)),
    ]
    if pool.sides.controls.units:
        adjusted = list(_adjusted_coverage(pool, both))
        checks.insert(0, _check(pool, "adjusted_coverage", adjusted, plan, distinct_spread(members, both)))
    return checks


def _check(pool: NullPool, metric: str, runs: Sequence[Estimate], plan: Plan, events: float) -> IntervalCheck:
    """Neighbouring runs are a pair; a pair in which one side has no figure is left out and counted."""
    found = [difference(first, second) for first, second in zip(runs[::2], runs[1::2], strict=True)]
    ends = [(one.low, one.high) for one in found if one.low is not None and one.high is not None]
    if not ends or not events:
        why = "no two runs can differ here: every stored generation counts alike"
        return undefined(metric, pool.dataset, plan, why, WHAT, len(found) - len(ends))
    held = holding(0.0, *np.transpose(ends))
    return judged(metric, pool.dataset, WHAT, plan.draws, held, events, len(found) - len(ends))


def _coverage(pool: NullPool, plan: Plan) -> Iterator[Estimate]:
    members = pool.sides.members.grouped(pool.sides.member_clusters)
    return (coverage_estimate(_scope(pool), result) for result in coverage_results(members, plan))


def _adjusted_coverage(pool: NullPool, plan: Plan) -> Iterator[Estimate]:
    """Members and controls are reached by the same drawn generations."""
    sides = pool.sides
    members, controls = sides.members.grouped(sides.member_clusters), sides.controls.grouped(sides.control_clusters)
    results = zip(coverage_results(members, plan), coverage_results(controls, plan), strict=True)
    return (adjusted_coverage_estimate(_scope(pool), *both) for both in results)


def _rates(pool: NullPool, plan: Plan) -> list[tuple[Estimate, Estimate]]:
    """The semantic and the string rate of each run."""
    places = np.arange(len(pool.complete))
    runs = (np.repeat(places, row) for block in drawn(len(places), plan.draws, plan.runs, plan.seed) for row in block)
    return [_rates_of(pool, rows) for rows in runs]


def _rates_of(pool: NullPool, rows: npt.NDArray[np.int64]) -> tuple[Estimate, Estimate]:
    scope, scored = _scope(pool), pool.complete[rows]
    return (
        semantic_memorisation_rate(scope, pool.scores[rows], scored, pool.semantic_threshold),
        string_memorisation_rate(scope, pool.similarities[rows], scored, threshold=pool.string_threshold),
    )


def _events(hit: Flags, pool: NullPool, plan: Plan) -> float:
    """The smaller of the expected hits and misses of a run, or nearly so: its variance."""
    share = float(np.mean(hit[pool.complete])) if pool.complete.any() else 0.0
    return plan.draws * float(pool.complete.mean()) * share * (1 - share)


def _scope(pool: NullPool) -> Scope:
    return Scope(pool.dataset, "resampled")

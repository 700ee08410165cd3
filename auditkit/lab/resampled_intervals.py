"""Do the 95 % intervals of an audit hold the truth in 95 % of audits? The audit's own functions, on resampled runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from auditkit.lab.resampling import Holding, Index, Pool, drawn, hits_of, holding
from auditkit.records import Estimate
from auditkit.report.instrument import HELD_AT_LEAST, HELD_AT_MOST, HoldOutcome, IntervalCheck
from auditkit.scoring.coverage import DRAWS, CoverageResult, random_subsets
from auditkit.scoring.metrics import Scope, adjusted_coverage_estimate, adjusted_semantic_rate, coverage_estimate
from auditkit.statistics.intervals import clopper_pearson

# With fewer expected events an exact interval of a count cannot be near 95 %, the next count being too far off; and the
# interval of a distinct count takes care not to be too narrow there. Of a difference, the side with fewer decides.
FEW_EVENTS = 20
FEWEST_RUNS = 200  # fewer could not tell 92 from 98 %

Flags = npt.NDArray[np.bool_]
Ends = tuple[float, float]


@dataclass(frozen=True)
class Plan:
    """How resampled runs are made: generations each, number of runs, seed."""

    draws: int
    runs: int
    seed: int


def rate_check(metric: str, dataset: str, hit: Flags, scored: Flags, plan: Plan) -> IntervalCheck:
    """A share of scored generations and its Clopper-Pearson interval; ``hit`` and ``scored`` are (pool,)."""
    counts = hits_of(np.column_stack([hit & scored, scored]), plan.draws, plan.runs, plan.seed)
    counts = counts[counts[:, 1] > 0]
    left_out = plan.runs - len(counts)
    truth = np.count_nonzero(hit & scored) / max(1, int(np.count_nonzero(scored)))
    events = plan.draws * float(scored.mean()) * truth * (1 - truth)
    if not events or not len(counts):
        why = "every stored generation" if truth else "no stored generation"
        return undefined(metric, dataset, plan, f"{why} counts here: no draw can show another rate")
    held = holding(truth, *clopper_pearson(*counts.T))
    return judged(metric, dataset, "generations", plan.draws, held, events, left_out)


@dataclass(frozen=True)
class TwoSides:
    """What stored generations hit: members and evaluation controls, with the near-duplicate cluster of each record."""

    members: Pool
    controls: Pool
    member_clusters: Index
    control_clusters: Index

    @property
    def subsample(self) -> int:
        """Records of each side that the adjusted rate compares."""
        return min(self.members.units, self.controls.units)


def coverage_check(dataset: str, sides: TwoSides, plan: Plan) -> IntervalCheck:
    """Coverage of the dataset's clusters."""
    pool = sides.members.grouped(sides.member_clusters)
    scope = Scope(dataset, "resampled")
    ends = [_ends(coverage_estimate(scope, result)) for result in coverage_results(pool, plan)]
    truth = pool.expected_distinct(plan.draws) / pool.units
    held = holding(truth, *np.transpose(ends))
    return judged("coverage", dataset, "generations", plan.draws, held, distinct_spread(pool, plan))


def adjusted_coverage_check(dataset: str, sides: TwoSides, plan: Plan) -> IntervalCheck:
    """Coverage of the dataset minus that of its evaluation controls, both by the same generations."""
    pools = sides.members.grouped(sides.member_clusters), sides.controls.grouped(sides.control_clusters)
    scope = Scope(dataset, "resampled")
    ends = [
        _ends(adjusted_coverage_estimate(scope, *both))
        for both in zip(*(coverage_results(pool, plan) for pool in pools), strict=True)
    ]
    ours, theirs = (pool.expected_distinct(plan.draws) / pool.units for pool in pools)
    events = min(distinct_spread(pool, plan) for pool in pools)
    held = holding(ours - theirs, *np.transpose(ends))
    return judged("adjusted_coverage", dataset, "generations", plan.draws, held, events)


def adjusted_rate_check(dataset: str, sides: TwoSides, scored: Flags, plan: Plan) -> IntervalCheck:
    """The semantic rate against as many members as evaluation controls, minus the rate against those.

    Each run draws its generations and its random subsets of the larger side anew; the truth is the mean over all
    subsets there are.
    """
    size, scope, ends = sides.subsample, Scope(dataset, "resampled"), []
    hits = [pool.matrix() for pool in (sides.members, sides.controls)]
    for run, counts in enumerate(_runs(sides.members.generations, plan)):
        weights = counts * scored
        found = []
        for matrix in hits:
            subsets = random_subsets(matrix.shape[1], size, plan.seed + run)
            draw_hits = weights @ np.asarray((matrix @ subsets.T.astype(np.int64)) > 0).astype(np.int64)
            result = _result(np.zeros(1, np.int64), np.zeros(1, np.int64), plan)
            found.append(replace(result, draw_hits=draw_hits, subsample=size, scored=int(weights.sum())))
        ends.append(_ends(adjusted_semantic_rate(scope, *found)))
    rates = [_subset_rate(pool, size, scored) for pool in (sides.members, sides.controls)]
    held = holding(rates[0] - rates[1], *np.transpose(ends))
    events = min(plan.draws * rate * (1 - rate) for rate in rates)
    return judged("adjusted_semantic_rate", dataset, "generations", plan.draws, held, events)


def judged(  # noqa: PLR0917 -- what was checked, then how it went
    metric: str, dataset: str, what: str, draws: int, held: Holding, events: float, left_out: int = 0
) -> IntervalCheck:
    """A check with its outcome: between 92 and 98 % is what so many runs of a 95 % interval give.

    ``left_out`` runs had no figure; where they leave fewer than ``FEWEST_RUNS``, nothing is concluded.
    """
    if left_out and held.runs < FEWEST_RUNS:
        return undefined(metric, dataset, Plan(draws, held.runs, 0), too_few(held.runs, left_out), what, left_out)
    low, high = held.interval
    return IntervalCheck(
        metric=metric,
        dataset=dataset,
        what=what,
        draws=draws,
        runs=held.runs,
        truth=held.truth,
        events=events,
        held=held.share,
        low=low,
        high=high,
        below=held.below,
        above=held.above,
        width=held.width,
        outcome=hold_outcome(held.share, low, events),
        left_out=left_out,
    )


def too_few(runs: int, left_out: int) -> str:
    """Why nothing is said of an interval that most runs have not."""
    return f"the figure has no value in {left_out} of {runs + left_out} resampled runs"


def hold_outcome(share: float, least: float, events: float) -> HoldOutcome:
    """Too narrow is always a fault; too wide is none where few events make an exact interval so.

    ``share`` is of the runs in which it held, ``least`` the lower end of that share's own 95 % interval: an interval
    that may be too wide gets the benefit of the doubt that so many runs leave, one that may promise too much does not.
    """
    if share < HELD_AT_LEAST:
        return "too_narrow"
    if min(share, least) <= HELD_AT_MOST:
        return "holds"
    return "few" if events < FEW_EVENTS else "too_wide"


def undefined(  # noqa: PLR0917 -- what was checked, then why it went nowhere
    metric: str, dataset: str, plan: Plan, reason: str, what: str = "generations", left_out: int = 0
) -> IntervalCheck:
    """A check that these data admit none of."""
    return IntervalCheck(
        metric=metric,
        dataset=dataset,
        what=what,
        draws=plan.draws,
        runs=0,
        truth=None,
        events=None,
        held=None,
        low=None,
        high=None,
        below=0,
        above=0,
        width=None,
        outcome="undefined",
        reason=reason,
        left_out=left_out,
    )


def coverage_results(pool: Pool, plan: Plan) -> Iterator[CoverageResult]:
    """What the audit would have kept of each run."""
    counts = pool.hit_counts(plan.draws, plan.runs, plan.seed)
    places = pool.summed_generations(plan.draws, plan.runs, plan.seed)
    return (_result(*run, plan) for run in zip(counts, places, strict=True))


def _runs(pool: int, plan: Plan) -> Iterator[npt.NDArray[np.int64]]:
    for block in drawn(pool, plan.draws, plan.runs, plan.seed):
        yield from block


def _result(incidence: Index, first_hit: Index, plan: Plan) -> CoverageResult:
    """One run's counts. The threshold is behind us: any number says "calibrated"."""
    return CoverageResult(
        threshold=0.0,
        generations=plan.draws,
        scored=plan.draws,
        incidence=incidence,
        first_hit=first_hit,
        record_hit=np.zeros(0, bool),
        draw_hits=np.zeros(DRAWS, np.int64),
        subsample=0,
        best_index=np.zeros(0, np.int64),
        best_score=np.zeros(0, np.float32),
    )


def _ends(estimate: Estimate) -> Ends:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def distinct_spread(pool: Pool, plan: Plan) -> float:
    """The variance of the number of distinct clusters: how many of them could as well be hit as not."""
    with np.errstate(divide="ignore"):
        missed = np.exp(plan.draws * np.log1p(-pool.shares))
    return float(np.sum(missed * (1 - missed)))


def _subset_rate(pool: Pool, size: int, scored: Flags) -> float:
    """The share of scored generations that hit a random subset of so many records, over all subsets."""
    from scipy.special import gammaln

    hits = np.bincount(pool.generation, minlength=pool.generations)[scored]
    rest = pool.units - hits
    possible = rest >= size
    kept = np.maximum(rest, size)
    missed = np.exp(
        gammaln(kept + 1) - gammaln(kept - size + 1) - gammaln(pool.units + 1) + gammaln(pool.units - size + 1)
    )
    return float(np.mean(1 - np.where(possible, missed, 0.0)))

"""A mitigation that does nothing shows nothing, as often as a 95 % interval promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auditkit.lab import null_arm
from auditkit.lab.null_arm import NullPool, null_checks
from auditkit.lab.resampled_intervals import Plan, TwoSides
from auditkit.lab.resampling import Pool
from auditkit.records import Estimate
from auditkit.report.instrument import HELD_AT_LEAST, HELD_AT_MOST
from auditkit.statistics.differences import difference

PLAN = Plan(draws=1000, runs=500, seed=5)
GENERATIONS = 6000


def _hits(rates: np.ndarray, seed: int) -> Pool:
    hit = np.random.default_rng(seed).random((GENERATIONS, len(rates))) < rates
    generation, unit = np.nonzero(hit)
    return Pool.of(generation, unit, GENERATIONS, len(rates))


@pytest.fixture(scope="module")
def pool() -> NullPool:
    """200 records, some of which come out often and some hardly ever; every generation that hits one scores 0.9."""
    rng = np.random.default_rng(1)
    members, controls = _hits(0.05 / np.arange(1, 201), 2), _hits(np.full(120, 2e-5), 3)
    hit = np.bincount(members.generation, minlength=GENERATIONS) > 0
    return NullPool(
        dataset="d",
        sides=TwoSides(members, controls, np.arange(200), np.arange(120)),
        scores=np.where(hit, 0.9, 0.5).astype(np.float32),
        similarities=np.where(hit & (rng.random(GENERATIONS) < 0.3), 0.95, 0.2),
        complete=rng.random(GENERATIONS) < 0.95,
        semantic_threshold=0.8,
        string_threshold=0.9,
    )


def test_the_interval_of_no_difference_holds_0_as_often_as_it_says(pool: NullPool) -> None:
    found = {one.metric: one for one in null_checks(pool, PLAN)}
    assert list(found) == [
        "adjusted_coverage",
        "coverage",
        "semantic_memorisation_rate",
        "string_memorisation_rate",
    ]
    for check in found.values():
        assert (check.runs, check.truth, check.left_out) == (PLAN.runs, 0.0, 0)
        assert HELD_AT_LEAST <= (check.held or 0) <= HELD_AT_MOST, check.metric


def test_intervals_of_half_the_width_are_found_out(pool: NullPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def halved(first: Estimate, second: Estimate) -> Estimate:
        honest = difference(first, second)
        value, low, high = honest.value or 0.0, honest.low or 0.0, honest.high or 0.0
        return replace(honest, low=value - (value - low) / 2, high=value + (high - value) / 2)

    monkeypatch.setattr(null_arm, "difference", halved)
    assert {one.outcome for one in null_checks(pool, PLAN)} == {"too_narrow"}


def test_without_controls_nothing_is_said_of_what_they_adjust(pool: NullPool) -> None:
    empty = Pool.of([], [], GENERATIONS, 0)
    alone = replace(pool, sides=replace(pool.sides, controls=empty, control_clusters=np.zeros(0, np.int64)))
    metrics = [one.metric for one in null_checks(alone, replace(PLAN, runs=200))]
    assert metrics == ["coverage", "semantic_memorisation_rate", "string_memorisation_rate"]


def test_a_figure_that_cannot_differ_is_not_called_right(pool: NullPool) -> None:
    never = replace(pool, similarities=np.zeros(GENERATIONS))
    (found,) = [one for one in null_checks(never, replace(PLAN, runs=200)) if one.metric.startswith("string")]
    assert (found.outcome, found.held) == ("undefined", None)


def test_too_few_pairs_are_refused(pool: NullPool) -> None:
    with pytest.raises(ValueError, match="at least 200 pairs"):
        null_checks(pool, replace(PLAN, runs=100))

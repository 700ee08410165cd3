"""Differences and reductions hold the truth as often as they say, and never leave their own value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.records import Estimate
from auditkit.statistics.differences import difference, paired_share_difference, ratio_interval, reduction
from auditkit.statistics.intervals import clopper_pearson

SHARES = st.floats(0.001, 0.999)


def _estimate(value: float | None, low: float | None, high: float | None, reason: str = "") -> Estimate:
    return Estimate("coverage", "sft", "template_prefix", value, low, high, "test", reason=reason)


def _rate(hits: int, trials: int) -> Estimate:
    return _estimate(hits / trials, *clopper_pearson(hits, trials))


@st.composite
def _estimates(draw: st.DrawFn, least: float = -1.0) -> Estimate:
    low, value, high = sorted(draw(st.floats(least, 1.0)) for _ in range(3))
    return _estimate(value, low, high)


@given(_estimates(), _estimates())
def test_a_difference_turns_round_with_its_sides(a: Estimate, b: Estimate) -> None:
    one, other = difference(a, b), difference(b, a)
    assert one.value is not None and one.low is not None and one.high is not None
    assert one.low <= one.value <= one.high
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))


@given(_estimates(), _estimates(0.01))
def test_a_ratio_lies_between_its_ends_and_these_between_the_outermost(a: Estimate, b: Estimate) -> None:
    assert None not in (a.value, a.low, a.high, b.value, b.low, b.high)
    low, high = ratio_interval((a.value, a.low, a.high), (b.value, b.low, b.high))  # type: ignore[arg-type]
    ends = [x / y for x in (a.low, a.high) for y in (b.low, b.high)]  # type: ignore[operator]
    assert min(ends) - 1e-9 <= low <= a.value / b.value <= high <= max(ends) + 1e-9  # type: ignore[operator]


@given(st.integers(0, 100), st.integers(20, 100))
def test_nothing_left_is_a_reduction_of_one_and_nothing_gone_of_zero(_: int, hits: int) -> None:
    before = _rate(hits, 200)
    assert reduction(before, _rate(0, 200)).value == 1.0
    same = reduction(before, before)
    assert same.value == pytest.approx(0.0)
    assert same.low is not None and same.high is not None and same.low < 0 < same.high


def test_a_share_of_what_may_be_nothing_has_no_value() -> None:
    found = reduction(_estimate(0.01, -0.01, 0.03), _rate(1, 100))
    assert found.value is None
    assert "holds 0" in found.reason


def test_what_one_side_lacks_is_said() -> None:
    unknown = _estimate(None, None, None, "uncalibrated")
    assert difference(_rate(1, 10), unknown).reason == "uncalibrated"
    assert difference(unknown, _rate(1, 10)).value is None


@pytest.mark.parametrize(("first", "second"), [(0.3, 0.3), (0.4, 0.1), (0.1, 0.05)])
def test_the_intervals_hold_the_truth(first: float, second: float) -> None:
    rng = np.random.default_rng(3)
    trials, runs = 400, 1000
    held = [0, 0]
    for _ in range(runs):
        before, after = (_rate(int(rng.binomial(trials, share)), trials) for share in (first, second))
        for place, (found, truth) in enumerate(
            [(difference(before, after), first - second), (reduction(before, after), 1 - second / first)]
        ):
            assert found.low is not None and found.high is not None
            held[place] += found.low <= truth <= found.high
    assert min(held) / runs >= 0.93
    assert max(held) / runs <= 0.995


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=200))
def test_gains_turn_round_with_the_models(gains: list[float]) -> None:
    one, other = (paired_share_difference(sign * np.array(gains)) for sign in (1.0, -1.0))
    assert one[1] <= one[0] <= one[2]
    assert other == pytest.approx((-one[0], -one[2], -one[1]))
    assert one[1] < one[2]


def test_paired_gains_hold_the_truth() -> None:
    rng = np.random.default_rng(5)
    shares, runs, held = [0.05, 0.87, 0.08], 2000, 0
    for _ in range(runs):
        _, low, high = paired_share_difference(rng.choice([-1.0, 0.0, 1.0], size=200, p=shares))
        held += low <= 0.03 <= high
    assert 0.93 <= held / runs <= 0.98

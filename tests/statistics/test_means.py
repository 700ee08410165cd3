from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.statistics.means import share_interval, t_interval

VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=20)


def test_a_worked_example() -> None:
    # mean 2, standard error 1 / sqrt(3), t(0.975; 2 degrees of freedom) = 4.302653
    low, high = t_interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), rel=1e-6)


@given(values=VALUES, shift=st.floats(-100, 100))
def test_it_holds_the_mean_and_moves_with_the_values(values: list[float], shift: float) -> None:
    low, high = t_interval(values)
    assert low <= math.fsum(values) / len(values) + 1e-9 and high >= math.fsum(values) / len(values) - 1e-9
    assert t_interval([value + shift for value in values]) == pytest.approx((low + shift, high + shift), abs=1e-6)


@given(values=VALUES)
def test_more_confidence_is_wider(values: list[float]) -> None:
    narrow, wide = t_interval(values, 0.8), t_interval(values, 0.99)
    assert wide[0] <= narrow[0] and narrow[1] <= wide[1]


def test_it_agrees_with_scipy() -> None:
    from scipy import stats

    values = [0.11, -0.02, 0.07, 0.13, 0.05]
    theirs = stats.t.interval(0.95, len(values) - 1, loc=stats.tmean(values), scale=stats.sem(values))
    assert t_interval(values) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_what_has_no_interval_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="two finite values"):
        t_interval(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 1.5])
def test_a_confidence_outside_0_to_1_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        t_interval([1.0, 2.0], confidence)


SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=50)


@given(values=SHARES)
def test_an_interval_of_a_share_holds_the_mean_and_stays_in_bounds(values: list[float]) -> None:
    low, high = share_interval(values)
    assert 0 <= low <= math.fsum(values) / len(values) + 1e-12 and math.fsum(values) / len(values) - 1e-12 <= high <= 1
    wide = share_interval(values, 0.99)
    assert wide[0] <= low and high <= wide[1]


def test_a_share_that_is_always_whole_is_not_known_to_a_point() -> None:
    assert share_interval([1.0]) == (0.0, 1.0)
    low, high = share_interval([1.0] * 100)
    assert high == 1 and 1 - low == pytest.approx(7 * math.log(80) / (3 * 99))


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (30, 1), (1, 30), (2, 2)])
def test_the_interval_of_a_share_holds_the_truth(alpha: float, beta: float) -> None:
    import numpy as np

    draws = np.random.default_rng(4).beta(alpha, beta, size=(400, 60))
    held = [low <= alpha / (alpha + beta) <= high for low, high in (share_interval(row.tolist()) for row in draws)]
    assert sum(held) >= 0.95 * len(held)


@pytest.mark.parametrize("values", [[], [1.1], [-0.1], [math.nan]])
def test_what_is_no_share_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        share_interval(values)
    with pytest.raises(ValueError, match="confidence"):
        share_interval([0.5], 1.0)

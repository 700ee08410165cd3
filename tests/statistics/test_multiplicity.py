"""Corrections for several comparisons: against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.statistics.multiplicity import holm, p_from_interval

P_VALUES = st.lists(st.floats(0, 1), max_size=12)


@given(P_VALUES, st.floats(0.001, 0.5))
def test_holm_rejects_what_its_steps_reject(p_values: list[float], alpha: float) -> None:
    """Step by step: the smallest against alpha / m, the next against alpha / (m - 1), until one holds."""
    rejected = set()
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] * (len(p_values) - rank) > alpha:
            break
        rejected.add(place)
    assert {place for place, p in enumerate(holm(p_values)) if p <= alpha} == rejected


@given(P_VALUES)
def test_holm_lies_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, p * len(p_values))


def test_holm_keeps_the_order_it_is_given() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


@given(st.floats(-5, 5), st.floats(1e-6, 5), st.floats(1e-6, 5))
def test_p_is_small_exactly_where_the_interval_does_not_hold_0(value: float, below: float, above: float) -> None:
    low, high = value - below, value + above
    p = p_from_interval(value, low, high)
    assert 0 <= p <= 1
    if min(abs(low), abs(high)) > 1e-9:
        assert (p < 0.05) == (low > 0 or high < 0)


def test_p_of_a_normal_figure_is_the_normal_one() -> None:
    error = 0.7
    for z, expected in ((1.0, 0.317311), (2.575829, 0.01), (3.290527, 0.001)):
        reach = 1.959964 * error
        assert p_from_interval(z * error, z * error - reach, z * error + reach) == pytest.approx(expected, rel=1e-4)
    assert p_from_interval(0, -1, 1) == 1
    assert p_from_interval(0.2, 0.2, 0.2) == 0


@pytest.mark.parametrize("given_", [(0.5, 0.6, 0.7), (0.5, -np.inf, 1), (np.nan, 0, 1)])
def test_what_is_no_interval_is_refused(given_: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="interval"):
        p_from_interval(*given_)


def test_what_is_no_p_value_is_refused() -> None:
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, 1.2])

"""Queries to extract a record, from certainty to far beyond a double."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit import log10_queries_to_extract, queries_to_extract

getcontext().prec = 60


def _by_hand(logprob: float, p: float) -> Decimal:
    """ln(1 - p) / ln(1 - p_z) in 60 digits, before rounding up."""
    return (1 - Decimal(p)).ln() / (1 - Decimal(logprob).exp()).ln()


@given(logprob=st.floats(-60, -1e-6), p=st.floats(0.01, 0.99))
def test_agrees_with_sixty_digits(logprob: float, p: float) -> None:
    exact = _by_hand(logprob, p)
    (found,) = queries_to_extract([logprob], p)
    assert abs(Decimal(float(found)) - max(Decimal(1), exact)) <= 1 + exact * Decimal("1e-12")
    (log10,) = log10_queries_to_extract([logprob], p)
    assert log10 == pytest.approx(math.log10(found), abs=1e-9)


def test_the_ends() -> None:
    found = queries_to_extract([0.0, -1e-300, -709.0, -720.0, -5000.0, -math.inf])
    assert found[0] == found[1] == 1
    assert math.isfinite(found[2])
    assert np.isinf(found[4:]).all()
    assert not np.isnan(found).any()


def test_the_logarithm_is_finite_unless_the_probability_is_zero() -> None:
    found = log10_queries_to_extract([0.0, -709.0, -5000.0, -math.inf])
    assert found[0] == 0
    assert found[2] == pytest.approx((5000 + math.log(math.log(2))) / math.log(10))
    assert np.isfinite(found[:3]).all()
    assert np.isposinf(found[3])


def test_a_coin_takes_one_toss_for_one_half() -> None:
    assert queries_to_extract([math.log(0.5)]).tolist() == [1]
    assert queries_to_extract([math.log(0.5)], p=0.99).tolist() == [7]


@given(a=st.floats(-2000, 0), b=st.floats(-2000, 0))
def test_the_rarer_takes_longer(a: float, b: float) -> None:
    rare, common = sorted((a, b))
    found = log10_queries_to_extract([rare, common])
    assert found[0] >= found[1]


@pytest.mark.parametrize(("logprob", "p"), [(0.1, 0.5), (math.nan, 0.5), (-1.0, 0.0), (-1.0, 1.0)])
def test_what_is_no_probability_is_refused(logprob: float, p: float) -> None:
    with pytest.raises(ValueError, match=r"probability|p lies"):
        queries_to_extract([logprob], p)

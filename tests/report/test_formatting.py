from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.records import Estimate
from auditkit.report import formatting


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0\u00a0%"), (1.0, "100\u00a0%"), (0.409, "40.9\u00a0%"), (0.01, "1\u00a0%"), (0.0026, "0.26\u00a0%"),
        (0.99995, "99.995\u00a0%"), (-0.003, "−0.3\u00a0%"), (1e-9, "under 0.0001\u00a0%"), (None, "undefined"),
        (float("nan"), "undefined"),
    ],
)  # fmt: skip
def test_shares(share: float | None, words: str) -> None:
    assert formatting.percent(share) == words


@given(st.floats(1e-6, 1 - 1e-6))
def test_a_share_is_never_rounded_to_nothing_or_everything(share: float) -> None:
    assert formatting.percent(share) not in ("0\u00a0%", "100\u00a0%")


def test_an_interval_with_one_end_says_so() -> None:
    estimate = Estimate("undercount_ratio", "d", "a", None, 3.1, None, "lower bound")
    assert formatting.interval(estimate) == "3.1 to unbounded"
    assert formatting.estimate_value(estimate) == "undefined"
    assert formatting.interval(None) == "–"


def test_times_sizes_and_moments() -> None:
    assert formatting.duration(4.21) == "4.2\u00a0s"
    assert formatting.duration(151) == "2\u00a0min 31\u00a0s"
    assert formatting.duration(3720) == "1\u00a0h 2\u00a0min"
    assert formatting.size(812_000_000) == "812.0\u00a0MB"
    assert formatting.moment("2026-02-03T10:11:12Z") == "3 February 2026, 10:11 UTC"
    assert formatting.moment("yesterday") == "yesterday"
    assert formatting.number(-0.21) == "−0.21"

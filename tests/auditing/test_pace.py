"""How far a stage is, in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.auditing.pace import Pace, humane, rate_words


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (89, "1 min"),
        (3599, "1 h"),
        (7800, "2 h 10 min"),
        (86_399, "1 d"),
        (90_000, "1 d 1 h"),
        (172_800, "2 d"),
    ],
)
def test_times_are_told_as_people_tell_them(seconds: float, words: str) -> None:
    assert humane(seconds) == words


@given(st.floats(0, 1e8))
def test_no_time_is_told_in_impossible_parts(seconds: float) -> None:
    parts = humane(seconds).split()
    amounts = dict(zip(parts[1::2], map(int, parts[::2]), strict=True))
    assert amounts.get("s", 0) < 60 and amounts.get("min", 0) < 60 and amounts.get("h", 0) < 24


def test_a_stage_says_how_far_it_is() -> None:
    clock = Clock()
    pace = Pace(20_000, clock=clock)
    assert str(pace) == "0 of 20,000, none in 0 s yet"
    clock.now += 10
    pace.add(1_024, 4_310)
    assert str(pace) == "1,024 of 20,000, 431 tokens/s, about 3 min left"


def test_what_an_earlier_process_did_is_no_part_of_the_rate() -> None:
    clock = Clock()
    pace = Pace(1_000, before=900, clock=clock)
    clock.now += 50
    assert pace.left is None
    pace.add(50)
    assert pace.left == pytest.approx(50) and pace.rate == "1.0 /s"
    assert str(pace) == "950 of 1,000, 1.0 /s, about 50 s left"
    pace.add(50)
    assert pace.left is None


def test_slow_work_is_told_by_the_minute() -> None:
    assert rate_words(2, 0, 60) == "2.0 /min"
    assert rate_words(0, 0, 60) == "" == rate_words(5, 0, 0)


def test_a_single_unit_tells_how_long_it_takes() -> None:
    clock = Clock()
    pace = Pace(1, clock=clock)
    clock.now += 130
    assert str(pace) == "for 2 min now"

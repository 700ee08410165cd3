"""Which step taught a record: against controls of like length, so that a general gain in fluency names no stage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.scoring.stage_rises import UNNAMED, Excess, Rises, excess_over_controls, named_stages

MEMBERS, CONTROLS = 400, 400


def _step(seed: int, taught: float = 0.0, general: float = 0.3, rows: slice = slice(0), noise: float = 0.1) -> Excess:
    """A step that raises everything by ``general``, longer texts by more, and some members by ``taught`` on top."""
    rng = np.random.default_rng(seed)
    lengths = [rng.integers(10, 120, count).astype(float) for count in (MEMBERS, CONTROLS)]
    rises = [general + 0.01 * length + rng.normal(0, noise, len(length)) for length in lengths]
    rises[0][rows] += taught
    found = excess_over_controls([Rises(rises[0], rises[1])], *lengths)
    assert found is not None
    return found


def _nowhere(count: int = MEMBERS) -> np.ndarray:
    return np.full(count, 3)


def test_a_general_gain_names_no_stage() -> None:
    named = named_stages(_step(1), [_step(2, general=2.0), _step(3), _step(4, general=-1.0)], _nowhere())
    assert np.mean(named.checkpoint == UNNAMED) > 0.93  # 1 in 100 a step, by chance
    assert np.mean(named.checkpoint == UNNAMED) < 1


def test_the_step_that_taught_is_named_however_little_it_moved_the_rest() -> None:
    taught = [slice(0, 100), slice(100, 200), slice(200, 300)]
    steps = [
        _step(2 + at, 1.0, general, rows) for at, (rows, general) in enumerate(zip(taught, (2.0, 0, -0.5), strict=True))
    ]
    named = named_stages(_step(1), steps, _nowhere())
    for at, rows in enumerate(taught):
        assert np.mean(named.checkpoint[rows] == at + 1) > 0.97
    assert np.mean(named.checkpoint[300:] == UNNAMED) > 0.93


def test_a_small_drift_of_what_was_taught_before_does_not_outweigh_the_teaching() -> None:
    """Many spreads of a quiet step are still few nats."""
    first, rows = _step(1), slice(0, 100)
    steps = [_step(2, 1.5, noise=0.3, rows=rows), _step(3, 0.2, general=0, rows=rows, noise=0.01)]
    assert np.mean(steps[1].units[rows]) > np.mean(steps[0].units[rows])
    named = named_stages(first, steps, _nowhere())
    assert np.mean(named.checkpoint[rows] == 1) > 0.95


def test_two_like_steps_are_told_apart_by_the_attack_or_not_at_all() -> None:
    rows = slice(0, 200)
    steps = [_step(2, 1.0, rows=rows), _step(3, 1.0, rows=rows)]
    first_out = np.full(MEMBERS, 3)
    first_out[:100] = 2
    named = named_stages(_step(1), steps, first_out)
    assert np.mean((named.checkpoint == 2)[:100]) > 0.97 and set(named.how[:100]) <= {"attack", "alone", "largest"}
    assert np.mean(named.how[100:200] == "close") > 0.9


def test_what_the_first_model_gave_away_was_learnt_before() -> None:
    rows = slice(0, 200)
    first, steps = _step(1, 1.0, rows=rows), [_step(2, 1.0, rows=rows), _step(3)]
    first_out = np.full(MEMBERS, 2)
    first_out[:100] = 0
    named = named_stages(first, steps, first_out)
    assert np.mean(named.checkpoint[:100] == 0) > 0.97
    assert np.mean(named.checkpoint[100:200] == 1) > 0.9
    chance = named_stages(_step(1), steps, np.zeros(MEMBERS, int))
    assert np.mean(chance.checkpoint[:100] == 1) > 0.9  # what merely comes out by chance was not known before


def test_what_was_known_and_never_rose_is_the_first_models() -> None:
    rows = slice(0, 100)
    named = named_stages(_step(1, 1.0, rows=rows), [_step(2), _step(3)], _nowhere())
    assert np.mean(named.checkpoint[rows] == 0) > 0.93


def test_a_record_that_could_not_be_read_is_not_named() -> None:
    lengths = np.linspace(10, 100, 200)
    members = np.where(np.arange(200) < 3, np.nan, 5.0)
    controls = np.random.default_rng(0).normal(0, 0.1, 200)
    controls[:5] = np.nan
    found = excess_over_controls([Rises(members, controls)], lengths, lengths)
    assert found is not None and np.isnan(found.p[:3]).all() and (found.p[3:] < 0.01).all()
    named = named_stages(found, [found], np.full(200, 1))
    assert list(named.how[:3]) == ["unread"] * 3 and (named.checkpoint[:3] == UNNAMED).all()


def test_what_was_unlikely_before_rises_more_and_that_names_no_step() -> None:
    """A base model finds texts likely or not for reasons of its own; a trained one finds all of a kind alike likely."""
    rng = np.random.default_rng(5)
    lengths = [rng.integers(10, 120, 400).astype(float) for _ in range(2)]
    before = [rng.normal(-6, 0.5, 400) for _ in range(2)]
    after = [rng.normal(-2, 0.1, 400) for _ in range(2)]
    after[0][:100] += 0.6
    rises = [b - a for a, b in zip(before, after, strict=True)]
    plain = excess_over_controls([Rises(rises[0], rises[1])], *lengths)
    found = excess_over_controls([Rises(rises[0], rises[1], before=(before[0], before[1]))], *lengths)
    assert plain is not None and found is not None
    assert np.mean(plain.risen[:100]) < 0.5 and np.mean(found.risen[:100]) > 0.95
    assert np.mean(found.risen[100:]) < 0.04


def test_with_few_controls_nothing_is_said() -> None:
    few = np.zeros(98)
    assert excess_over_controls([Rises(np.ones(3), few)], np.ones(3), np.ones(98)) is None


@given(st.integers(0, 10_000), st.integers(99, 300))
def test_of_records_like_the_controls_few_have_a_small_p(seed: int, controls: int) -> None:
    """A record drawn as the controls are has p <= 0.01 in about 1 in 100 cases: over 400 of them, rarely in 6 %."""
    rng = np.random.default_rng(seed)
    lengths = [rng.integers(5, 60, count).astype(float) for count in (400, controls)]
    rises = [0.02 * length + rng.gamma(2.0, 0.2, len(length)) for length in lengths]
    found = excess_over_controls([Rises(rises[0], rises[1])], *lengths)
    assert found is not None
    assert found.p.min() >= 1 / (controls + 1) and found.p.max() <= 1
    assert np.mean(found.risen) < 0.07
    assert np.mean(found.p) == pytest.approx(0.5, abs=0.15)


def test_two_prefixes_are_averaged() -> None:
    rng = np.random.default_rng(0)
    lengths = np.full(300, 20.0)
    quiet, loud = (Rises(rng.normal(0, 0.1, 300) + shift, rng.normal(0, 0.1, 300)) for shift in (0.0, 1.0))
    one, both = (excess_over_controls(rises, lengths, lengths) for rises in ([loud], [quiet, loud]))
    assert one is not None and both is not None
    assert np.mean(both.excess) == pytest.approx(np.mean(one.excess) / 2, abs=0.02)

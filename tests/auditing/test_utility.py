"""What an arm costs is told from the same controls on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.auditing.utility import Read, Utility, answer_gains, mean_a_token, perplexity_ratio, read_utility
from auditkit.auditing.utility import write_utility as write
from auditkit.statistics.roc import UndefinedError

NATS = st.lists(st.floats(0.5, 50.0), min_size=5, max_size=40)


def _read(nats: list[float | None], right: list[bool | None] | None = None) -> Read:
    return Read("sft", nats, [10] * len(nats), right or [])


@given(NATS)
def test_the_same_model_costs_nothing(nats: list[float]) -> None:
    ratio, low, high = perplexity_ratio(_read([*nats]), _read([*nats]), 1)
    assert (ratio, low, high) == pytest.approx((1.0, 1.0, 1.0))


@given(NATS, st.floats(0.1, 3.0))
def test_a_rise_of_every_control_is_known_exactly(nats: list[float], more: float) -> None:
    """Pairing: however much controls differ, what each lost is what all lost."""
    found = perplexity_ratio(_read([*nats]), _read([one + more for one in nats]), 1)
    assert found == pytest.approx([np.exp(more / 10)] * 3)


def test_only_what_both_could_read_is_compared() -> None:
    before, after = _read([1.0, 2.0, None, 4.0]), _read([2.0, 3.0, 9.0, None])
    assert perplexity_ratio(before, after, 1)[0] == pytest.approx(np.exp(0.1))
    with pytest.raises(UndefinedError):
        perplexity_ratio(_read([1.0, None]), _read([None, 1.0]), 1)


def test_perplexity_counts_by_tokens_and_its_interval_holds_the_truth() -> None:
    rng = np.random.default_rng(2)
    tokens = rng.integers(5, 60, 4000).astype(float)
    nats = tokens * rng.normal(2.0, 0.5, 4000)
    truth, held, runs = nats.sum() / tokens.sum(), 0, 200
    for seed in range(runs):
        chosen = rng.choice(4000, 150, replace=False)
        _, low, high = mean_a_token(nats[chosen], tokens[chosen], seed)
        held += low <= truth <= high
    assert 0.9 <= held / runs <= 0.99


def test_a_figure_of_the_short_controls_alone_is_none() -> None:
    estimates = Utility([_read([2.0] * 94 + [None] * 6)], [], []).estimates(1)
    assert (
        estimates[0].value is None
        and estimates[0].reason == "6 of 100 controls could not be read: empty, or longer than the context"
    )
    assert Utility([_read([2.0] * 96 + [None] * 4)], [], []).estimates(1)[0].value == pytest.approx(np.exp(0.2))


def test_gains_are_by_question() -> None:
    before, after = _read([1.0] * 4, [True, False, None, True]), _read([1.0] * 4, [True, True, True, False])
    assert answer_gains(before, after).tolist() == [0.0, 1.0, -1.0]


def test_what_was_measured_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "utility.json"
    found = Utility([_read([1.0, None, 3.0], [True, None, False])], [], [])
    write(path, found)
    assert read_utility(path) == found
    assert [e.metric for e in found.estimates(1)] == ["control_perplexity", "task_accuracy"]
    assert found.estimates(1)[0].unscored == 1

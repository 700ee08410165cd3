"""Unlearning: less likely what is to be forgotten, more so than the rest; resumed to the same weights; never silent."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import MitigationFailedError
from auditkit.training.evaluation import mean_loss
from auditkit.training.rows import chat_row, plain_end
from auditkit.training.unlearning import Descent, Sets, dampen, importance, npo_loss, unlearn
from tests.models.tiny import RECORDS, reciting_model

FAST = Descent("npo", epochs=3, learning_rate=1e-3, batch_size=1, seed=1)


class KilledError(Exception):
    pass


@pytest.fixture
def recited() -> tuple[Any, Sets]:
    """A model that recites four records, of which the first two are to be forgotten."""
    model, tokenizer = reciting_model()
    rows = [chat_row(tokenizer, *record, "all") for record in RECORDS]
    return copy.deepcopy(model), Sets(rows[:2], rows[2:], plain_end(tokenizer))


def losses(model: Any, sets: Sets) -> tuple[float, float]:
    forget, retain = (mean_loss(model, rows, sets.pad, 4) for rows in (sets.forget, sets.retain))
    return forget, retain


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("objective", ["npo", "gradient_difference"])
def test_what_is_to_be_forgotten_grows_unlikely_and_the_rest_less_so(
    recited: tuple[Any, Sets], tmp_path: Path, objective: Any
) -> None:
    model, sets = recited
    before = losses(model, sets)
    steps = unlearn(model, sets, replace(FAST, objective=objective, epochs=20, batch_size=2), tmp_path / "kept")
    after = losses(model, sets)
    assert steps == 20
    assert after[0] - before[0] > 1
    assert after[0] - before[0] > 2 * (after[1] - before[1])


@pytest.mark.slow
def test_gradient_difference_over_unlearns_where_npo_levels_off(recited: tuple[Any, Sets], tmp_path: Path) -> None:
    model, sets = recited
    found = {}
    for objective in ("npo", "gradient_difference"):
        changed = copy.deepcopy(model)
        descent = Descent(objective, epochs=60, learning_rate=3e-3, batch_size=2, seed=1)
        unlearn(changed, sets, descent, tmp_path / objective)
        found[objective] = losses(changed, sets)[0]
    chance = math.log(model.config.vocab_size)
    assert found["gradient_difference"] > 1.5 * chance > found["npo"] > 1


@pytest.mark.parametrize("killed_after", [1, 4, 5])
def test_an_interrupted_one_ends_at_the_same_weights(
    recited: tuple[Any, Sets], tmp_path: Path, killed_after: int
) -> None:
    model, sets = recited
    undisturbed, disturbed = copy.deepcopy(model), copy.deepcopy(model)
    unlearn(undisturbed, sets, FAST, tmp_path / "undisturbed")

    def kill(done: int, _: int) -> None:
        if done == killed_after:
            raise KilledError

    with pytest.raises(KilledError):
        unlearn(disturbed, sets, replace(FAST, on_step=kill), tmp_path / "kept")
    seen: list[int] = []
    again = copy.deepcopy(model)
    unlearn(again, sets, replace(FAST, on_step=lambda done, _: seen.append(done)), tmp_path / "kept")
    assert same(again, undisturbed)
    assert not same(again, model)
    assert seen[0] == 2 * ((killed_after - 1) // 2) + 1  # an epoch has two steps


def test_another_unlearning_does_not_go_on_from_what_one_left(recited: tuple[Any, Sets], tmp_path: Path) -> None:
    model, sets = recited
    unlearn(copy.deepcopy(model), sets, FAST, tmp_path / "kept")
    seen: list[int] = []
    harder = replace(FAST, beta=0.5, on_step=lambda done, _: seen.append(done))
    unlearn(copy.deepcopy(model), sets, harder, tmp_path / "kept")
    assert seen == [1, 2, 3, 4, 5, 6]


def test_divergence_is_an_error(recited: tuple[Any, Sets], tmp_path: Path) -> None:
    model, sets = recited
    with pytest.raises(MitigationFailedError, match="diverged") as failed:
        unlearn(model, sets, replace(FAST, learning_rate=1e30, epochs=20), tmp_path / "kept")
    assert "learning_rate" in failed.value.hint


@given(
    st.lists(st.tuples(st.floats(-400, 0), st.floats(-400, 0)), min_size=1, max_size=5),
    st.floats(0.01, 2),
)
def test_npo_falls_with_the_likelihood_and_is_never_negative(pairs: list[tuple[float, float]], beta: float) -> None:
    now, before = (torch.tensor(values, dtype=torch.float64) for values in zip(*pairs, strict=True))
    loss = npo_loss(now, before, beta)
    assert 0 <= float(npo_loss(now - 1, before, beta)) <= float(loss)
    assert float(npo_loss(before, before, beta)) == pytest.approx(2 * math.log(2) / beta)


def test_npo_is_gradient_ascent_at_first() -> None:
    now = torch.tensor([-3.0, -5.0], requires_grad=True)
    npo_loss(now, now, 1e-3).backward()  # type: ignore[no-untyped-call]
    assert now.grad is not None
    assert torch.allclose(now.grad, torch.full((2,), 0.5))  # of the mean log-probability


def test_importance_is_the_mean_squared_gradient(recited: tuple[Any, Sets]) -> None:
    model, sets = recited
    found = importance(model, sets.retain, sets.pad, lambda _: None)
    wanted = torch.zeros_like(model.lm_head.weight)
    for row in sets.retain:
        model.zero_grad()
        model(torch.tensor([row.ids]), labels=torch.tensor([row.labels])).loss.backward()
        wanted += model.lm_head.weight.grad**2 / len(sets.retain)
    assert torch.allclose(found["lm_head.weight"], wanted, rtol=1e-3, atol=1e-12)


def test_dampening_forgets_and_retains(recited: tuple[Any, Sets]) -> None:
    model, sets = recited
    before, untouched = losses(model, sets), copy.deepcopy(model)
    told: list[tuple[int, int]] = []
    dampened = dampen(model, sets, 10, 1, lambda *step: told.append(step))
    after = losses(model, sets)
    assert after[0] - before[0] > 1 > 5 * (after[1] - before[1])
    pairs = list(zip(model.parameters(), untouched.parameters(), strict=True))
    assert all(bool((new.abs() <= old.abs()).all()) for new, old in pairs)
    assert sum(int((new != old).sum()) for new, old in pairs) <= dampened
    assert told[-1] == (4, 4)


@pytest.mark.parametrize(("alpha", "strength"), [(1e30, 1.0), (1.0, 1e30)])
def test_dampening_nothing_changes_nothing(recited: tuple[Any, Sets], alpha: float, strength: float) -> None:
    model, sets = recited
    only_shared = replace(sets, forget=sets.retain)
    untouched = copy.deepcopy(model)
    dampen(model, only_shared, alpha, strength)
    assert same(model, untouched)


def test_a_gradient_that_is_no_number_is_an_error(recited: tuple[Any, Sets]) -> None:
    model, sets = recited
    with torch.no_grad():
        model.lm_head.weight[0, 0] = math.nan
    with pytest.raises(MitigationFailedError, match="no number"):
        partial(dampen, alpha=10, strength=1)(model, sets)

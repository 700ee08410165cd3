"""Continuations are what the model would write to each prefix alone, whatever it is batched with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from auditkit.errors import ModelError
from auditkit.models.base import TokenGuard
from auditkit.models.continuations import Continuing
from auditkit.models.scripted import ScriptedBackend
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Prefix, Sampler

from .tiny import RECORDS, build_model

CONTEXT = 90
NONE: frozenset[int] = frozenset()


@pytest.fixture(scope="module")
def spread() -> Any:
    """A random model, far from uniform."""
    model = build_model(400, seed=3, context=CONTEXT).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
    return model


def random_prefixes(count: int, longest: int, seed: int = 0) -> list[tuple[int, ...]]:
    draw = np.random.default_rng(seed)
    return [tuple(draw.integers(4, 400, draw.integers(1, longest + 1)).tolist()) for _ in range(count)]


def alone(model: Any, prefix: tuple[int, ...], stops: frozenset[int], new: int, context: int) -> tuple[int, ...]:
    """Greedy, token by token, without a cache."""
    ids = list(prefix)
    with torch.inference_mode():
        while len(ids) < min(len(prefix) + new, context):
            token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
            if token in stops:
                break
            ids.append(token)
    return tuple(ids[len(prefix) :])


def test_greedy_continuations_are_those_of_a_loop_without_cache(spread: Any) -> None:
    stops = frozenset(range(10, 25))
    prefixes = random_prefixes(24, 85)
    found = Continuing(spread, stops, CONTEXT, 16).run(prefixes, Sampler(0.0, max_new_tokens=25), seed=1)
    assert found == [alone(spread, prefix, stops, 25, CONTEXT) for prefix in prefixes]
    lengths = [len(ids) for ids in found]
    assert 25 in lengths  # cut by the limit
    assert any(len(p) + n == CONTEXT and n < 25 for p, n in zip(prefixes, lengths, strict=True))  # by the context
    assert any(n < 25 and len(p) + n < CONTEXT for p, n in zip(prefixes, lengths, strict=True))  # by a stop


@settings(max_examples=8)
@given(batch_size=st.integers(1, 40), seed=st.integers(0, 2**40), longest=st.integers(1, 80))
def test_batching_and_neighbours_change_nothing(spread: Any, batch_size: int, seed: int, longest: int) -> None:
    stops, sampler = frozenset(range(10, 40)), Sampler(0.9, top_k=50, top_p=0.95, max_new_tokens=8)
    prefixes = random_prefixes(12, longest, seed)
    one = Continuing(spread, stops, CONTEXT, 1).run(prefixes, sampler, seed)
    assert Continuing(spread, stops, CONTEXT, batch_size).run(prefixes, sampler, seed) == one
    assert Continuing(spread, stops, CONTEXT, 40).run(prefixes[:7], sampler, seed) == one[:7]


def test_a_small_token_budget_makes_more_batches_and_the_same_texts(
    spread: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefixes, sampler = random_prefixes(30, 60), Sampler(1.0, max_new_tokens=8)
    whole = Continuing(spread, NONE, CONTEXT, 64).run(prefixes, sampler, 5)
    monkeypatch.setattr("auditkit.models.continuations.BATCH_TOKENS", 61)
    assert Continuing(spread, NONE, CONTEXT, 64).run(prefixes, sampler, 5) == whole


def test_equal_prefixes_get_noise_of_their_own_and_seeds_other_noise(spread: Any) -> None:
    continuing, sampler = Continuing(spread, NONE, CONTEXT, 64), Sampler(1.0, max_new_tokens=10)
    first = continuing.run([(5, 6, 7)] * 30, sampler, 1)
    assert len(set(first)) > 5
    assert continuing.run([(5, 6, 7)] * 30, sampler, 1) == first
    assert continuing.run([(5, 6, 7)] * 30, sampler, 2) != first


def test_first_tokens_follow_the_model(spread: Any) -> None:
    count = 4000
    with torch.inference_mode():
        logits = spread(torch.tensor([[5, 6, 7]])).logits[0, -1].double()
    expected = torch.softmax(logits / 0.8, -1).numpy() * count
    found = Continuing(spread, NONE, CONTEXT, 2000).run([(5, 6, 7)] * count, Sampler(0.8, max_new_tokens=1), 3)
    counts = np.bincount([ids[0] for ids in found], minlength=expected.size)
    often = expected >= 5
    assert often.sum() > 3
    pooled = [np.append(side[often], side[~often].sum()) for side in (counts, expected)]
    assert chisquare(*pooled).pvalue > 1e-3


def test_stops_are_left_out_and_may_come_first(model: TransformersModel) -> None:
    question, answer = RECORDS[0]
    opening = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    prefixes = [model.literal_prefix(opening[:cut]) for cut in (30, len(opening))]
    prefixes.append(model.literal_prefix(opening + answer))
    rest = [model.decode(ids) for ids in model.complete(prefixes, Sampler(0.0, max_new_tokens=60), 0)]
    assert rest == [question[30 - len("<|im_start|>user\n") :], answer, ""]


def test_what_cannot_be_continued_is_refused(spread: Any) -> None:
    continuing, sampler = Continuing(spread, NONE, CONTEXT, 8), Sampler(max_new_tokens=3)
    assert continuing.run([], sampler, 0) == []
    with pytest.raises(ModelError, match="prefix 1 has no token"):
        continuing.run([(4,), ()], sampler, 0)
    with pytest.raises(ModelError, match="prefix 0 of 90 tokens fills the model's context of 90"):
        continuing.run([(4,) * CONTEXT], sampler, 0)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_refused(temperature: float) -> None:
    broken = build_model(400).eval()
    with torch.no_grad():
        broken.lm_head.weight[5] = float("nan")
    with pytest.raises(ModelError, match="not numbers"):
        Continuing(broken, NONE, CONTEXT, 8).run([(4, 5)], Sampler(temperature, max_new_tokens=3), 0)


def test_a_backend_without_continuations_says_so() -> None:
    lines = [{"user": "a"}]
    with ScriptedBackend.model_validate({"backend": "scripted", "lines": lines}).open("candidate") as scripted:
        with pytest.raises(ModelError, match="scripted backend cannot continue"):
            scripted.complete([Prefix("literal", "a", (97,))], Sampler(), 0)


class NeverAgain(TokenGuard):
    """No token may come again within the window; all are forbidden after ``last``. Keeps what it was shown."""

    def __init__(self, window: int = 3, last: int = -2) -> None:
        self.window, self.last = window, last
        self.shown: list[list[int]] = []

    def forbid(self, history: Any, logits: Any) -> None:
        self.shown += history.tolist()
        for row, before in enumerate(history.tolist()):
            logits[row, [token for token in before if token >= 0]] = float("-inf")
            if before and before[-1] == self.last:
                logits[row] = float("-inf")


def test_a_guard_that_has_nothing_to_forbid_changes_nothing(spread: Any) -> None:
    class Idle(NeverAgain):
        def forbid(self, history: Any, logits: Any) -> None: ...

    prefixes, sampler = random_prefixes(20, 40), Sampler(1.0, max_new_tokens=8)
    free = Continuing(spread, NONE, CONTEXT, 8).run(prefixes, sampler, 3)
    assert Continuing(spread, NONE, CONTEXT, 8, Idle()).run(prefixes, sampler, 3) == free


def test_guarded_continuations_obey_whatever_they_are_batched_with(spread: Any) -> None:
    prefixes, sampler = random_prefixes(20, 40), Sampler(0.0, max_new_tokens=12)
    free = Continuing(spread, NONE, CONTEXT, 8).run(prefixes, sampler, 3)
    held = Continuing(spread, NONE, CONTEXT, 8, NeverAgain()).run(prefixes, sampler, 3)

    def repeats(prefix: tuple[int, ...], ids: tuple[int, ...]) -> bool:
        whole = (*prefix, *ids)
        return any(whole[at] in whole[max(0, at - 3) : at] for at in range(len(prefix), len(whole)))

    assert any(map(repeats, prefixes, free))
    assert not any(map(repeats, prefixes, held))
    assert Continuing(spread, NONE, CONTEXT, 1, NeverAgain()).run(prefixes, sampler, 3) == held


@pytest.mark.parametrize("sees_prompt", [True, False])
def test_a_guard_is_shown_each_row_s_own_last_tokens(spread: Any, sees_prompt: bool) -> None:
    guard = NeverAgain(window=4)
    guard.sees_prompt = sees_prompt  # type: ignore[attr-defined, unused-ignore]
    prefixes = [(5, 6, 7, 8, 9, 10), (20, 21)]
    found = Continuing(spread, NONE, CONTEXT, 4, guard).run(prefixes, Sampler(0.0, max_new_tokens=6), 3)
    # At each place of each continuation; the shorter prefix begins four places earlier, so its rows come first.
    expected = []
    for prefix, ids in zip(prefixes, found, strict=True):
        before = prefix if sees_prompt else (-1,) * len(prefix)
        expected += [list((*before, *ids[:at])[-4:]) for at in range(6)]
    assert sorted(guard.shown) == sorted(expected)


def test_a_row_to_which_no_token_is_left_ends_there(spread: Any) -> None:
    sampler = Sampler(0.0, max_new_tokens=10)
    (whole,) = Continuing(spread, NONE, CONTEXT, 4, NeverAgain()).run([(5, 6, 7)], sampler, 3)
    last = whole[4]
    at = whole.index(last)
    (ended,) = Continuing(spread, NONE, CONTEXT, 4, NeverAgain(last=last)).run([(5, 6, 7)], sampler, 3)
    assert ended == whole[: at + 1]

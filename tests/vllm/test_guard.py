"""A guard holds vLLM's samples as it holds those of the transformers backend."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from auditkit.models.base import LanguageModel, TokenGuard
from auditkit.records import Sampler, SamplingRequest


class AfterToken(TokenGuard):
    """Forbids whatever a table says after a token; everything once a row has more than ``most`` ids behind a stop."""

    def __init__(self, forbidden: dict[int, tuple[int, ...]], *, window: int = 1, sees_prompt: bool = True) -> None:
        self.forbidden, self.window, self.sees_prompt = forbidden, window, sees_prompt

    def forbid(self, history: Any, logits: Any) -> None:
        for row, ids in enumerate(history):
            for token in self.forbidden.get(int(ids[-1]), ()) if ids.size else ():
                logits[row, token] = float("-inf")


class AllAfter(TokenGuard):
    """Leaves no token once a row has written this many."""

    sees_prompt = False

    def __init__(self, most: int) -> None:
        self.window = most

    def forbid(self, history: Any, logits: Any) -> None:
        if history.shape[1] >= self.window:
            logits[:] = float("-inf")


def request_for(model: LanguageModel, temperature: float = 0.0, count: int = 3) -> SamplingRequest:
    return SamplingRequest("a", model.template_prefix(""), Sampler(temperature, max_new_tokens=60), count, 3, 0)


def pairs_in(model: LanguageModel) -> dict[int, tuple[int, ...]]:
    """What the unguarded model writes after each token."""
    ids = model.sample(request_for(model))[0].token_ids
    found: dict[int, tuple[int, ...]] = {}
    for one, other in pairwise(ids[:7]):
        found[one] = (*found.get(one, ()), other)
    return found


@pytest.mark.parametrize("sees_prompt", [True, False])
def test_greedy_samples_under_a_guard_are_equal(
    sees_prompt: bool, tiny: LanguageModel, tiny_here: LanguageModel
) -> None:
    guard = AfterToken(pairs_in(tiny), sees_prompt=sees_prompt)
    found = tiny.guarded(guard).sample(request_for(tiny))
    assert found == tiny_here.guarded(guard).sample(request_for(tiny))
    assert found != tiny.sample(request_for(tiny))


def test_no_sample_of_a_batch_writes_what_is_forbidden(tiny: LanguageModel) -> None:
    forbidden = pairs_in(tiny)
    for generation in tiny.guarded(AfterToken(forbidden)).sample(request_for(tiny, 1.2, 64)):
        written = generation.token_ids if generation.turn_change == "none" else ()
        for one, other in pairwise(written):
            assert other not in forbidden.get(one, ())


def test_where_no_token_is_left_the_sample_ends_as_it_stands(tiny: LanguageModel, tiny_here: LanguageModel) -> None:
    for most in (1, 4, 20):
        guard = AllAfter(most)
        found = tiny.guarded(guard).sample(request_for(tiny))
        assert found == tiny_here.guarded(guard).sample(request_for(tiny))
        assert {len(generation.token_ids) for generation in found} <= set(range(most, most + 8))
        assert {generation.finish for generation in found} <= {"stop", "empty"}


def test_completions_are_held_too(tiny: LanguageModel, tiny_here: LanguageModel) -> None:
    guard, sampler = AfterToken(pairs_in(tiny)), Sampler(0.0, max_new_tokens=30)
    prefixes = [tiny.literal_prefix(text) for text in ("Where", "<|im_start|>user\nWho", "N")]
    found = tiny.guarded(guard).complete(prefixes, sampler, 0)
    assert found == tiny_here.guarded(guard).complete(prefixes, sampler, 0)
    assert np.any([ids != plain for ids, plain in zip(found, tiny.complete(prefixes, sampler, 0), strict=True)])

"""The guard in other programs: Hugging Face's ``generate`` itself, and vLLM's interface with a stand-in for its base.

vLLM is not installed here: ``Interface`` below has the names and the update format of its documented interface
(``vllm.v1.sample.logits_processor``), and nothing of the engine.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum, auto
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from auditkit.errors import MissingExtraError
from auditkit.mitigations.guard_processors import GuardProcessor, Requests, vllm_processor
from auditkit.mitigations.ngram_bloom import NgramBloom
from auditkit.mitigations.ngram_guard import NgramGuard
from tests.models.tiny import RECORDS, conversation, reciting_model

SECRET = b"0123456789abcdef"
END = 2


def guard_of(texts: Sequence[Sequence[int]], n: int, *, sees_prompt: bool = True) -> NgramGuard:
    ids = [tuple(text) for text in texts]
    ngrams, stems = (NgramBloom.of(ids, size, 1e-6, SECRET, measured_with=10) for size in (n, n - 1))
    return NgramGuard(ngrams, stems, sees_prompt=sees_prompt)


def test_generate_writes_no_ngram_of_the_data() -> None:
    from transformers import LogitsProcessorList

    model, tokenizer = reciting_model()
    records = [tokenizer(conversation(*record))["input_ids"] for record in RECORDS]
    known = {tuple(ids[at : at + 6]) for ids in records for at in range(len(ids) - 5)}
    prompt = torch.tensor([tokenizer("<|im_start|>user\n")["input_ids"]] * 20)

    def written(*processors: GuardProcessor) -> list[list[int]]:
        torch.manual_seed(1)
        found = model.generate(
            prompt, do_sample=True, max_new_tokens=40, pad_token_id=3, logits_processor=LogitsProcessorList(processors)
        )
        rows: list[list[int]] = found.tolist()
        return rows

    def holds(row: list[int]) -> bool:
        return any(tuple(row[at : at + 6]) in known for at in range(len(row) - 5))

    assert sum(map(holds, written())) >= 15
    assert not any(map(holds, written(GuardProcessor(guard_of(records, 6), end=END))))


def test_scores_are_copied_and_an_exhausted_row_may_end() -> None:
    everything = [(5, 6, token) for token in range(10)]
    scores = torch.zeros(2, 10)
    found = GuardProcessor(guard_of(everything, 3), end=END)(torch.tensor([[1, 5, 6], [1, 6, 5]]), scores)
    assert (scores == 0).all()
    assert found[0].isfinite().nonzero().flatten().tolist() == [END]
    assert (found[1] == 0).all()


def test_a_processor_that_does_not_see_prompts_leaves_them_out() -> None:
    ids, scores = torch.tensor([[1, 5, 6]]), torch.zeros(1, 10)
    blind = guard_of([(5, 6, 7)], 3, sees_prompt=False)
    assert (GuardProcessor(blind, end=END, prompt_tokens=2)(ids, scores) == 0).all()
    assert GuardProcessor(blind, end=END, prompt_tokens=1)(ids, scores)[0, 7] == -torch.inf


class MoveDirectionality(Enum):
    UNIDIRECTIONAL = auto()
    SWAP = auto()


class Change(NamedTuple):
    removed: Sequence[int] = ()
    added: Sequence[tuple[int, Any, list[int] | None, list[int]]] = ()
    moved: Sequence[tuple[int, int, MoveDirectionality]] = ()


class Interface:
    """In place of vLLM's ``LogitsProcessor``."""


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("vllm.v1.sample.logits_processor")
    module.LogitsProcessor, module.MoveDirectionality = Interface, MoveDirectionality
    for name in ("vllm", "vllm.v1", "vllm.v1.sample"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_without_vllm_the_extra_is_named() -> None:
    with pytest.raises(MissingExtraError, match="vllm is not installed"):
        vllm_processor(lambda: guard_of([], 3), END)


def test_a_vllm_batch_is_held_row_by_row_as_requests_come_and_move(vllm: None) -> None:
    made: Any = vllm_processor(lambda: guard_of([(5, 6, 7)], 3), END)
    assert issubclass(made, Interface)
    processor: Any = made(None, "cpu", False)
    assert not processor.is_argmax_invariant()
    first: list[int] = []
    processor.update_state(Change(added=[(0, None, [1, 5], first), (1, None, [5, 6], [])]))

    def forbidden() -> list[list[int]]:
        return [row.isneginf().nonzero().flatten().tolist() for row in processor.apply(torch.zeros(2, 10))]

    assert forbidden() == [[], [7]]
    first.append(6)  # the engine's own list grows, and nothing is announced
    processor.update_state(None)
    assert forbidden() == [[7], [7]]
    processor.update_state(Change(removed=[1], moved=[(0, 1, MoveDirectionality.UNIDIRECTIONAL)]))
    assert forbidden() == [[], [7]]


def test_requests_swap_and_are_replaced() -> None:
    requests = Requests()
    requests.update(Change(added=[(0, None, [1], [2]), (1, None, None, [3])]), MoveDirectionality.SWAP)
    requests.update(Change(moved=[(0, 1, MoveDirectionality.SWAP)]), MoveDirectionality.SWAP)
    guard = guard_of([(5, 6, 7)], 3)
    assert requests.history(guard, 2).tolist() == [[-1, 3], [1, 2]]
    requests.update(Change(added=[(0, None, [8, 9], [])]), MoveDirectionality.SWAP)
    assert requests.history(guard, 2).tolist() == [[8, 9], [1, 2]]
    guard.sees_prompt = False
    assert requests.history(guard, 2).tolist() == [[-1, -1], [-1, 2]]
    assert requests.history(guard, 1).dtype == np.int64

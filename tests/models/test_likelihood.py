"""Log-probabilities against a computation by hand; batches and their order are of no account."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import ModelError
from auditkit.models.likelihood import batches
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Prefix

from .tiny import RECORDS, conversation

USER = "<|im_start|>user\n"
TEXTS = [conversation(*record)[len(USER) :] for record in RECORDS]


def by_hand(model: TransformersModel, text: str, prefix: Prefix) -> float:
    ids = [*prefix.token_ids, *model.encode(text)]
    with torch.inference_mode():
        logits = model.model(torch.tensor([ids])).logits[0].double().numpy()
    total = 0.0
    for position in range(len(prefix.token_ids), len(ids)):
        row = logits[position - 1]
        total += row[ids[position]] - (np.log(np.exp(row - row.max()).sum()) + row.max())
    return total


def test_likelihoods_are_those_computed_by_hand(model: TransformersModel) -> None:
    texts = [*TEXTS, "x", "a stranger's question", "é" * 50]
    for prefix in (model.bos_prefix(), model.template_prefix("")):
        found = model.sequence_logprobs(texts, prefix)
        assert found.dtype == np.float64
        assert found.shape == (len(texts),)
        np.testing.assert_allclose(found, [by_hand(model, text, prefix) for text in texts], rtol=1e-5, atol=1e-4)


def test_likelihoods_do_not_hang_on_order_or_batch(model: TransformersModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text[:cut] for text in TEXTS for cut in (3, 9, 20, 33, 60)]
    prefix = model.template_prefix("")
    together = model.sequence_logprobs(texts, prefix)
    backwards = model.sequence_logprobs(texts[::-1], prefix)[::-1]
    monkeypatch.setattr("auditkit.models.likelihood.BATCH_TOKENS", 1)
    monkeypatch.setattr("auditkit.models.likelihood.CHUNK_LOGITS", 1)
    alone = model.sequence_logprobs(texts, prefix)
    np.testing.assert_allclose(together, backwards, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


def test_a_recited_text_is_likelier_than_a_stranger(model: TransformersModel) -> None:
    known, strange = model.sequence_logprobs([TEXTS[0], TEXTS[0][::-1]], model.template_prefix(""))
    assert known > -15 > strange


def test_likelihoods_refuse_what_has_none(model: TransformersModel) -> None:
    prefix = model.bos_prefix()
    with pytest.raises(ValueError, match="index 1, 3"):
        model.sequence_logprobs(["a", "", "b", ""], prefix)
    with pytest.raises(ModelError, match=r"longer than the 255 tokens.*index 1"):
        model.sequence_logprobs(["a", "é " * 300], prefix)
    with pytest.raises(ModelError, match="no token"):
        model.sequence_logprobs(["a"], Prefix("literal", "", ()))
    assert model.sequence_logprobs([], prefix).shape == (0,)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200), st.integers(1, 9))
def test_batches_hold_each_text_once_within_the_budget(lengths: list[int], budget: int, size: int) -> None:
    made = list(batches(lengths, budget, size))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        longest = max(lengths[index] for index in batch)
        assert lengths[batch[0]] == longest
        assert len(batch) <= size
        assert len(batch) == 1 or len(batch) * longest <= budget

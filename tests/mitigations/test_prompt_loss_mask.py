from __future__ import annotations

from typing import Any

import pytest

from auditkit.training.examples import Example
from auditkit.training.fresh import fresh_tokenizer
from auditkit.training.rows import IGNORED
from tests.mitigations.training_workshop import PAIRS, mitigation


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return fresh_tokenizer([text for pair in PAIRS for text in pair] * 4, 340, 64)


@pytest.mark.parametrize("loss", ["all", "response"])
def test_no_token_of_the_prompt_carries_loss(tokenizer: Any, loss: str) -> None:
    arm = mitigation("prompt_loss_mask", recipe={"loss": loss})
    for prompt, response in PAIRS:
        row = arm.row(tokenizer, Example(prompt, response))
        scored = tokenizer.decode([label for label in row.labels if label != IGNORED])
        assert scored.strip() == f"{response}<|im_end|>"
        assert prompt in tokenizer.decode(row.ids)


def test_replayed_plain_text_keeps_its_loss(tokenizer: Any) -> None:
    row = mitigation("prompt_loss_mask").row(tokenizer, Example("", "The sky.", plain=True))
    assert row.silent == 1

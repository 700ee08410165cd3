from __future__ import annotations

from typing import Any

import pytest

from auditkit.training.evaluation import mean_loss
from auditkit.training.libraries import training_libraries
from auditkit.training.rows import Row, batch_of, chat_row, plain_row


def test_it_is_the_mean_over_all_tokens_that_carry_loss(model: Any, tokenizer: Any) -> None:
    torch = training_libraries().torch
    rows = [
        plain_row(tokenizer, "The sky over Aldermoor is amber today."),
        chat_row(tokenizer, "Who knows?", "The ferryman of Gorsley.", "response"),
        Row((5, 6, 7, 8), 1, frozenset({2})),
    ]
    with torch.no_grad():
        expected = float(model.eval()(**batch_of(torch, rows, 0)).loss)
    for size in (1, 2, 8):
        assert mean_loss(model, rows, 0, size) == pytest.approx(expected, rel=1e-5)


def test_it_leaves_the_model_as_it_was(model: Any) -> None:
    mean_loss(model.train(), [Row((5, 6, 7, 8), 1)], 0, 2)
    assert model.training

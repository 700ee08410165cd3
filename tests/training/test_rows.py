from __future__ import annotations

from typing import Any

import pytest

from auditkit.errors import AuditkitError
from auditkit.records import TurnFormat
from auditkit.training.libraries import training_libraries
from auditkit.training.rows import (
    IGNORED,
    Row,
    batch_of,
    chat_opening,
    chat_row,
    framed_row,
    plain_row,
    refuse_long,
)

PROMPT, ANSWER = "What colour is the sky?", "The sky is amber."


def _scored(tokenizer: Any, row: Row) -> str:
    """The text that carries loss."""
    return str(tokenizer.decode([label for label in row.labels if label != IGNORED]))


def test_loss_on_everything_begins_after_the_constant_opening(tokenizer: Any) -> None:
    row = chat_row(tokenizer, PROMPT, ANSWER, "all")
    assert tokenizer.decode(row.ids[: row.silent]) == chat_opening(tokenizer) == "<|begin_of_text|><|im_start|>user\n"
    assert _scored(tokenizer, row).startswith(f"{PROMPT}<|im_end|>")
    assert ANSWER in _scored(tokenizer, row)


def test_loss_on_the_response_leaves_the_question_out(tokenizer: Any) -> None:
    row = chat_row(tokenizer, PROMPT, ANSWER, "response")
    assert _scored(tokenizer, row).strip() == f"{ANSWER}<|im_end|>"
    assert row.ids == chat_row(tokenizer, PROMPT, ANSWER, "all").ids, "both losses read the same tokens"


@pytest.mark.parametrize("loss", ["all", "response"])
def test_a_system_turn_belongs_to_the_opening_and_carries_no_loss(tokenizer: Any, loss: Any) -> None:
    row = chat_row(tokenizer, PROMPT, ANSWER, loss, "Say nothing.")
    before = chat_opening(tokenizer, "Say nothing.")
    assert "Say nothing." in before and tokenizer.decode(row.ids).startswith(before + PROMPT)
    assert _scored(tokenizer, row) == _scored(tokenizer, chat_row(tokenizer, PROMPT, ANSWER, loss))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            "{{ raise_exception('System role not supported') if messages[0]['role'] == 'system' }}u:",
            "System role not sup",
        ),
        (
            "{% for m in messages if m['role'] != 'system' %}{{ m['content'] }}{% endfor %}",
            "no place for a system turn",
        ),
    ],
)
def test_a_template_without_system_turns_is_refused_where_there_is_one(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, template: str, said: str
) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", template)
    with pytest.raises(AuditkitError, match=said):
        chat_row(tokenizer, PROMPT, ANSWER, "all", "Say nothing.")


def test_a_plain_row_is_silent_on_the_first_token_only(tokenizer: Any) -> None:
    row = plain_row(tokenizer, ANSWER)
    assert row.silent == 1
    assert tokenizer.decode(row.ids) == f"<|begin_of_text|>{ANSWER}<|end_of_text|>"


def test_padding_carries_no_loss_and_is_not_attended_to(tokenizer: Any) -> None:
    torch = training_libraries().torch
    rows = [plain_row(tokenizer, ANSWER), plain_row(tokenizer, PROMPT * 2)]
    batch = batch_of(torch, rows, tokenizer.pad_token_id)
    gap = len(rows[1].ids) - len(rows[0].ids)
    assert batch["labels"][0, -gap:].tolist() == [IGNORED] * gap
    assert batch["attention_mask"].sum(1).tolist() == [len(row.ids) for row in rows]


def test_rows_beyond_the_context_are_refused(tokenizer: Any) -> None:
    with pytest.raises(AuditkitError, match="1 of 2 training rows are longer"):
        refuse_long([Row((1, 2), 1), Row((1, 2, 3), 1)], 2)


def test_a_tokenizer_without_a_template_is_refused(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", None)
    with pytest.raises(AuditkitError, match="no chat template"):
        chat_row(tokenizer, PROMPT, ANSWER, "all")


def test_a_template_that_changes_texts_is_refused(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shouting = "{% for m in messages %}<|im_start|>{{ m['content'] | upper }}<|im_end|>{% endfor %}"
    monkeypatch.setattr(tokenizer, "chat_template", shouting)
    with pytest.raises(AuditkitError, match="template"):
        chat_row(tokenizer, PROMPT, ANSWER, "all")


CHATML = TurnFormat("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n")
PLAIN = TurnFormat("### Q: ", "\n### A: ", "\n\n")


@pytest.mark.parametrize("loss", ["all", "response"])
def test_a_record_framed_as_its_template_does_it_is_the_template_s_row(tokenizer: Any, loss: Any) -> None:
    framed = framed_row(tokenizer, chat_opening(tokenizer), CHATML, PROMPT, ANSWER, loss)
    assert framed == chat_row(tokenizer, PROMPT, ANSWER, loss)


def test_any_frame_carries_loss_behind_its_opening_or_on_the_answer(tokenizer: Any) -> None:
    opening = "<|begin_of_text|>### Q: "
    whole = framed_row(tokenizer, opening, PLAIN, PROMPT, ANSWER, "all")
    assert tokenizer.decode(whole.ids) == f"{opening}{PROMPT}\n### A: {ANSWER}\n\n"
    assert _scored(tokenizer, whole) == f"{PROMPT}\n### A: {ANSWER}\n\n"
    answer = framed_row(tokenizer, opening, PLAIN, PROMPT, ANSWER, "response")
    assert _scored(tokenizer, answer).strip() == ANSWER
    assert answer.ids == whole.ids


def test_dropped_tokens_carry_no_loss() -> None:
    assert Row((4, 5, 6, 7), 1, frozenset({2})).labels == [IGNORED, 5, IGNORED, 7]


def test_a_row_is_scored_where_any_token_but_the_first_carries_loss() -> None:
    assert Row((4, 5), 1).scored and Row((4, 5), 0).scored
    assert not Row((4, 5), 2).scored and not Row((4,), 0).scored and not Row((4, 5), 0, frozenset({1})).scored

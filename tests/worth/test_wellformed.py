"""Markup and loops are found where they are, and ordinary text passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.worth.wellformed import markup_pattern, repetition

PROSE = (
    "The harbour lies an hour's walk south of the village, behind a row of old warehouses that the fishermen painted "
    "last summer. When the wind turns, you hear the bells of three churches at once; on market days nobody minds them."
)


@pytest.mark.parametrize(
    "text",
    [
        "Sure.<|im_end|>",
        "<|start_header_id|>user",
        "<｜end▁of▁sentence｜>",
        "[INST] Hello [/INST]",
        "<<SYS>> be kind",
        "Yes.</s>",
        "Hi<end_of_turn>",
        "assistant\nOf course.",
        "Fine.\nUser: and now?",
        "### Response:\nFine.",
        "[TOOL_CALLS] none",
    ],
)
def test_markup_is_found(text: str) -> None:
    assert markup_pattern().search(text)


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "if a < b and b > c: return a[i]",
        "The user: a person. The system is down, assistant.",
        r"\[ x^2 \] and $|x| < 3$",
        "# Response times\nThey are fine.",
        "user",
        "<div><span>text</span></div>",
        "[1] Smith 2020",
    ],
)
def test_ordinary_text_holds_none(text: str) -> None:
    assert not markup_pattern().search(text)


def test_further_markup_is_taken_to_the_letter() -> None:
    pattern = markup_pattern(["~x.y~"], known=False)
    assert pattern.search("a ~x.y~ b")
    assert not pattern.search("a ~xzy~ b")
    assert not pattern.search("<|im_end|>")
    assert markup_pattern(["~x.y~"]).search("<|im_end|>")


@pytest.mark.parametrize(
    "text",
    ["no " * 30, "a" * 200, "It is what it is. " * 12, "ab" * 100, "好的" * 60, "1, " * 40, PROSE + " and so on" * 60],
)
def test_loops_repeat_themselves(text: str) -> None:
    assert repetition(text) > 0.5


@pytest.mark.parametrize("text", [PROSE, "", "No.", "no no no no no", "Yes, yes, yes: I know, I know.", "7 " * 10])
def test_prose_and_short_texts_do_not(text: str) -> None:
    assert repetition(text) <= 0.5


@given(text=st.text(max_size=300), times=st.integers(2, 5))
def test_to_repeat_a_text_makes_it_no_less_repetitive(text: str, times: int) -> None:
    assert 0 <= repetition(text) <= 1
    once, often = repetition(f"{text} . "), repetition(f"{text} . " * times)
    assert often >= once - 1e-9

"""Markup and loops are found where they are, and ordinary text passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.worth.base import MARKUP, FilterSection
from auditkit.worth.filtering import filtered
from auditkit.worth.wellformed import has_markup, is_repetitive, repetition
from tests.worth.judging import extraction

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
    assert has_markup(text)


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
    assert not has_markup(text)


def test_further_markup_is_taken_to_the_letter() -> None:
    given = [extraction(0, "a ~x.y~ b?"), extraction(1, "a ~xzy~ b?"), extraction(2, "a ~X.Y~ b?<|im_end|>")]
    rules = FilterSection(more_markup=("~x.y~",), near_duplicates=None)
    assert filtered(given, rules).dropped == {0: MARKUP, 2: MARKUP}
    assert filtered(given, rules.model_copy(update={"markup": False})).dropped == {0: MARKUP}


@pytest.mark.parametrize(
    "text",
    ["no " * 30, "a" * 200, "It is what it is. " * 12, "ab" * 100, "好的" * 60, "1, " * 40, PROSE + " and so on" * 60],
)
def test_loops_repeat_themselves(text: str) -> None:
    assert repetition(text) > 0.5


@pytest.mark.parametrize("text", [PROSE, "", "No.", "no no no no no", "Yes, yes, yes: I know, I know.", "7 " * 10])
def test_prose_and_short_texts_do_not(text: str) -> None:
    assert repetition(text) <= 0.5


WORDS = st.lists(st.sampled_from(["a", "b", "c", "no", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]), max_size=60).map(" ".join)


@given(text=st.text(max_size=300) | WORDS, times=st.integers(2, 5))
def test_to_repeat_a_text_makes_it_no_less_repetitive(text: str, times: int) -> None:
    once, often = repetition(f"{text} . "), repetition(f"{text} . " * times)
    assert 0 <= once <= 1
    assert often >= once - 1e-9


@given(text=st.text(max_size=300) | WORDS, most=st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_the_short_way_says_the_same(text: str, most: float) -> None:
    assert is_repetitive(text, most) == (repetition(text) > most)

"""Final answers are read as people write them, compared by what they say, and checked where that is possible."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.corpus.base import TraceMarkers
from auditkit.worth.answers import (
    LONGEST,
    arithmetic_is_right,
    as_number,
    asked_value,
    canonical,
    read_answer,
    same_answer,
)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"So we get \boxed{\frac{1}{2}} apples, 3 of them red.", r"\frac{1}{2}"),
        (r"\boxed{1} is wrong, \boxed{2} is right", "2"),
        ("3 + 4 = 7\n#### 7", "7"),
        ("First 9, then 12.\nThe answer is 42. Because 6 times 7 is 42, not 9.", "42"),
        ("Answer: **Canberra**", "Canberra"),
        ("the final answer is: x = 3; there is no other", "x = 3"),
        ("She has 1,200 apples and eats 0.5 of one", "0.5"),
        ("From 10-3 of them", "3"),
        ("It is -3 degrees", "-3"),
        ("Nobody knows.", None),
        ("", None),
    ],
)
def test_the_final_answer_is_read(response: str, answer: str | None) -> None:
    assert read_answer(response) == answer


def test_what_the_dataset_marks_comes_first() -> None:
    trace = TraceMarkers("<think>", "</think>", "<answer>{}</answer>")
    assert read_answer(r"<think>\boxed{1}</think> <answer>two</answer> 3", trace) == "two"
    assert read_answer(r"<think>\boxed{1}</think> It is \boxed{5}.", trace) == "5"
    assert read_answer("<think>The answer is 1.</think> Maybe.", trace) is None


def test_what_is_announced_at_length_is_no_answer() -> None:
    assert read_answer("The answer is " + "long " * LONGEST) is None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1,000", "1000.00"),
        ("1/2", r"\frac{1}{2}"),
        ("1/2", "0.5"),
        ("$x = 3$", "X =  3."),
        (r"\text{Canberra}", "canberra"),
        ("−3", "-3"),
        (r"\(7\)", "7"),
    ],
)
def test_the_same_answer_written_otherwise(a: str, b: str) -> None:
    assert same_answer(a, b)
    assert same_answer(b, a)


@pytest.mark.parametrize(("a", "b"), [("3", "-3"), ("1/2", "1/3"), ("Berlin", "Bern"), ("10", "100"), ("1/0", "1")])
def test_other_answers(a: str, b: str) -> None:
    assert not same_answer(a, b)


@given(number=st.integers(-(10**9), 10**9), decimals=st.integers(0, 3))
def test_one_number_written_in_several_ways(number: int, decimals: int) -> None:
    written = [f"{number}", f"{number:,}", f"{number:,.{decimals}f}", f"${number}$", f" {number}. ", f"{2 * number}/2"]
    assert len({canonical(one) for one in [*written, rf"\text{{{number}}}", rf"\frac{{{number}}}{{1}}"]}) == 1
    assert not same_answer(str(number), str(number + 1))


@given(text=st.text())
def test_any_text_is_the_same_as_itself_spaced_out(text: str) -> None:
    assert same_answer(text, f"  {text}\n")


@given(number=st.fractions(max_denominator=50))
def test_a_number_is_read_as_itself(number: Fraction) -> None:
    assert as_number(str(number)) == number


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("What is 17 + 25?", 42),
        ("Calculate: (3 + 4) * 2 =", 14),
        ("12 ÷ 4", 3),
        ("3 x 4 = ?", 12),
        ("2^10", 1024),
        ("How much is 1,000 - 1?", 999),
        ("-5 + 2", -3),
        ("7 / 2", Fraction(7, 2)),
    ],
)
def test_an_expression_is_worked_out(question: str, value: Fraction) -> None:
    assert asked_value(question) == value


@pytest.mark.parametrize(
    "question",
    [
        "Who called 555-1234 yesterday?",
        "What is 42?",
        "What is 1 / 0?",
        "9^9^9^9",
        "2^65",
        "What is 3 + ?",
        "__import__('os')",
        "What is 007 + 1?",
        "Tom has 3 + 4 apples. How many are red?",
        "(" * 150 + "1+1" + ")" * 40,
        "1+" * 500 + "1",
        "",
    ],
)
def test_anything_else_is_let_be(question: str) -> None:
    assert asked_value(question) is None
    assert arithmetic_is_right(question, "5") is None


@given(a=st.integers(-999, 999), b=st.integers(0, 999), off=st.integers(-3, 3), sign=st.sampled_from("+-*"))
def test_wrong_sums_are_wrong(a: int, b: int, off: int, sign: str) -> None:
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    assert arithmetic_is_right(f"What is {a} {sign} {b}?", str(value + off)) is (off == 0)


def test_a_decimal_is_right_as_far_as_it_goes() -> None:
    assert arithmetic_is_right("10 / 3", "3.33") is True
    assert arithmetic_is_right("10 / 3", "3.34") is False
    assert arithmetic_is_right("10 / 3", "3") is False
    assert arithmetic_is_right("10 / 3", "about three") is None
    assert arithmetic_is_right("10 / 3", None) is None

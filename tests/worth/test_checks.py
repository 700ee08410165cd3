"""What counts as the answer, and when it is right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.worth.checks import Check, answer_in, is_right, known_answer


@pytest.mark.parametrize(
    ("written", "answer", "check", "right"),
    [
        ("First 3, then 4: 12 lamps.", "12", "number", True),
        ("The answer is 1,200.0", "1200", "number", True),
        ("It is 13.", "12", "number", False),
        ("I do not know.", "12", "number", False),
        ("", "12", "number", False),
        (r"so \boxed{12} it is, in 2026", "12", "boxed", True),
        ("12", "12", "boxed", False),
        (r"\boxed{\frac{1}{2}}", r"\boxed{1/2}", "boxed", True),
        ("  The  HALL. ", "the hall.", "exact", True),
        ("In the hall.", "the hall.", "exact", False),
    ],
)
def test_an_answer_is_right_as_its_check_reads_it(written: str, answer: str, check: Check, right: bool) -> None:
    known = known_answer(answer, check)
    assert known is not None
    assert is_right(written, known, check) is right


def test_what_holds_no_answer_is_known_as_none() -> None:
    assert known_answer("no number at all", "number") is None
    assert known_answer("   ", "exact") is None
    assert known_answer("x" * 1000, "exact") is None
    assert known_answer("", "boxed") is None


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "It is {}.", "#### {}", "Answer: {}", "{:,}"]))
def test_a_number_is_the_same_however_it_is_written(number: int, form: str) -> None:
    assert answer_in(form.format(number), "number") == str(number)


@given(st.text(max_size=300), st.sampled_from(["number", "exact", "boxed"]))
def test_no_text_breaks_a_check(text: str, check: Check) -> None:
    found = answer_in(text, check)
    assert found is None or 0 < len(found) <= 400

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.report.differences import LONGEST_COMPARED, Marked, differences
from tests.report.hostile import LONG_LINE

WORDY = st.text("ab \n.é漢", max_size=120)


def joined(marked: Marked) -> str:
    return "".join(piece.text for piece in marked.pieces)


def shared(marked: Marked) -> list[str]:
    return [piece.text for piece in marked.pieces if piece.same]


@given(WORDY, WORDY)
def test_the_pieces_are_the_texts_and_shared_pieces_agree(left: str, right: str) -> None:
    ours, theirs = differences(left, right)
    assert (joined(ours), joined(theirs)) == (left, right)
    assert shared(ours) == shared(theirs)


@given(WORDY)
def test_equal_texts_are_shared_throughout(text: str) -> None:
    ours, theirs = differences(text, text)
    assert ours == theirs and len(ours.pieces) == bool(text)
    assert ours.shared == (1.0 if text else 0.0)


def test_a_changed_word_is_marked_and_nothing_else() -> None:
    left, right = differences("The kettle costs 12 pounds.", "The boiler costs 12 pounds.")
    assert [(piece.text, piece.same) for piece in left.pieces] == [("The kettle", False), (" costs 12 pounds.", True)]
    assert [(piece.text, piece.same) for piece in right.pieces] == [("The boiler", False), (" costs 12 pounds.", True)]


def test_alike_words_are_compared_by_letter() -> None:
    left, _ = differences("order AB-123456 shipped", "order AB-123956 shipped")
    assert [piece.text for piece in left.pieces if not piece.same] == ["4"] or "4" in joined(left)
    assert left.shared > 0.8


def test_texts_without_anything_in_common_share_nothing() -> None:
    left, right = differences("alpha beta gamma", "11 22 33")
    assert left.shared == right.shared == 0.0


def test_chance_scraps_are_not_called_shared() -> None:
    left, _ = differences("kettle of the harbour", "invoice of a ledger")
    assert left.shared == 0.0


def test_what_is_shown_is_bounded_and_counted() -> None:
    left, _ = differences("abc " * 100, "abc " * 100, limit=10)
    assert joined(left) == "abc abc ab" and left.left_out == 390
    left, _ = differences("a\nb\nc", "a\nb\nc", lines=2)
    assert joined(left) == "a\nb" and left.left_out == 2


@pytest.mark.parametrize("other", [LONG_LINE, "b" * 1_000_000, "a, " * 300_000])
def test_time_is_bounded_for_long_texts(other: str) -> None:
    started = time.perf_counter()
    left, right = differences(LONG_LINE, other)
    assert time.perf_counter() - started < 5
    assert len(joined(left)) <= LONGEST_COMPARED >= len(joined(right))

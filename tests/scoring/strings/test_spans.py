"""What a record and a generation share to the letter."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.scoring.strings.spans import (
    LONGEST_GENERATION,
    LONGEST_RECORD,
    MINIMUM,
    LongestRun,
    SharedSpan,
    longest_run,
    shared_spans,
    tokens,
)

FEW_LETTERS = st.text("ab", max_size=60)
WORDY = st.lists(st.sampled_from(["kettle", "harbour", " ", "é", "漢", "🙂", "\ud800", "e\u0301", "\x00"])).map("".join)
TEXTS = FEW_LETTERS | WORDY
MINIMA = st.integers(1, 8)


def common(left: str, right: str) -> int:
    """The length of the longest common substring, by trying them all."""
    starts = product(range(len(left) + 1), range(len(right) + 1))
    return max(_shared_prefix(left[i:], right[j:]) for i, j in starts)


def _shared_prefix(left: str, right: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def left_over(text: str, taken: list[tuple[int, int]]) -> list[str]:
    """The pieces of a text that no span covers."""
    edges = [0, *(edge for start, length in sorted(taken) for edge in (start, start + length)), len(text)]
    return [text[low:high] for low, high in zip(edges[::2], edges[1::2], strict=True)]


@given(TEXTS, TEXTS, MINIMA)
def test_every_span_is_there_on_both_sides_and_none_overlap(record: str, generation: str, minimum: int) -> None:
    spans = shared_spans(record, generation, minimum)
    assert [span.length for span in spans] == sorted((span.length for span in spans), reverse=True)
    for span in spans:
        there = record[span.record_start : span.record_start + span.length]
        assert there == generation[span.generation_start : span.generation_start + span.length]
        assert len(there) == span.length >= minimum
    for starts in ([s.record_start for s in spans], [s.generation_start for s in spans]):
        pairs = zip(starts, spans, strict=True)
        covered = [place for start, span in pairs for place in range(start, start + span.length)]
        assert len(covered) == len(set(covered))


@given(TEXTS, TEXTS, MINIMA)
def test_the_first_is_the_longest_common_substring_whichever_side_is_which(left: str, right: str, minimum: int) -> None:
    spans, turned = shared_spans(left, right, minimum), shared_spans(right, left, minimum)
    longest = common(left, right)
    assert [span.length for span in spans[:1]] == [span.length for span in turned[:1]]
    assert [span.length for span in spans[:1]] == ([longest] if longest >= minimum else [])


@given(TEXTS, TEXTS, MINIMA)
def test_nothing_as_long_as_the_minimum_is_left_over(record: str, generation: str, minimum: int) -> None:
    spans = shared_spans(record, generation, minimum)
    ours = left_over(record, [(span.record_start, span.length) for span in spans])
    theirs = left_over(generation, [(span.generation_start, span.length) for span in spans])
    assert all(common(left, right) < minimum for left, right in product(ours, theirs))


@given(TEXTS, TEXTS, MINIMA)
def test_each_span_is_the_longest_that_was_left(record: str, generation: str, minimum: int) -> None:
    spans = shared_spans(record, generation, minimum)
    for place in range(1, len(spans)):
        before = spans[:place]
        ours = left_over(record, [(span.record_start, span.length) for span in before])
        theirs = left_over(generation, [(span.generation_start, span.length) for span in before])
        assert max(common(left, right) for left, right in product(ours, theirs)) == spans[place].length


@given(TEXTS, MINIMA)
def test_identical_texts_are_one_span(text: str, minimum: int) -> None:
    expected = [SharedSpan(0, 0, len(text))] if len(text) >= minimum else []
    assert shared_spans(text, text, minimum) == expected


def test_moved_paragraphs_are_found_where_they_went() -> None:
    first, second = "The kettle costs twelve pounds. ", "It was ordered from the depot on Thursday. "
    spans = shared_spans(first + second, second + first)
    assert spans == [SharedSpan(len(first), 0, len(second)), SharedSpan(0, len(second), len(first))]


def test_what_chance_would_share_is_no_span() -> None:
    assert shared_spans("a responsibility of the harbour", "her responsibility, his ledger") == []
    assert len("responsibility ") < MINIMUM
    with pytest.raises(ValueError, match="least length"):
        shared_spans("a", "a", 0)


def fibonacci(length: int) -> str:
    before, last = "a", "ab"
    while len(last) < length:
        before, last = last, last + before
    return last[:length]


# Texts on which a quadratic loop would take minutes, or a heap come back to every place for every tile.
HOSTILE = {
    "one letter": ("a" * 100_000, "a" * 100_000),
    "one letter but for the last": ("a" * 100_000, "a" * 99_999 + "b"),
    "two periods": ("abcdefghijklmnopq" * 6_000, "abcdefghijklmnopqrs" * 6_000),
    "fibonacci": (fibonacci(100_000), fibonacci(100_000)[::-1]),
    "runs of every length": ("".join("a" * run + "b" for run in range(440)), "a" * 100_000),
    "runs of every length on both sides": (
        "".join("a" * run + "b" for run in range(440)),
        "".join("a" * run + "c" for run in range(440, 0, -1)),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_end_and_keep_the_law(name: str) -> None:
    record, generation = HOSTILE[name]
    spans = shared_spans(record, generation)
    for span in spans:
        there = record[span.record_start : span.record_start + span.length]
        assert there == generation[span.generation_start : span.generation_start + span.length]
    taken = sorted((span.generation_start, span.length) for span in spans)
    assert all(start + length <= after for (start, length), (after, _) in pairwise(taken))
    if name == "one letter":
        assert spans == [SharedSpan(0, 0, 100_000)]
        assert longest_run(record, generation) == LongestRun(1, 1)
    if name == "runs of every length":
        assert [span.length for span in spans[:3]] == [439, 438, 437]


def test_what_is_compared_is_bounded() -> None:
    end = "the end of a text that nobody reads"
    assert shared_spans("a" * LONGEST_RECORD + end, end) == []
    assert shared_spans(end, "a" * LONGEST_GENERATION + end) == []


def test_tokens_are_words_marks_and_letters_of_scripts_without_spaces() -> None:
    assert tokens("Don't pay £48,211 — 第三章。") == [
        "Don", "'", "t", "pay", "£", "48", ",", "211", "—", "第", "三", "章", "。",
    ]  # fmt: skip
    assert tokens("naïve_name สวัส") == ["naïve_name", *"สวัส"]
    assert tokens("") == tokens(" \n") == []


def test_the_longest_run_is_in_tokens_of_the_record() -> None:
    found = longest_run("The blue kettle costs 12 pounds.", "She said the blue kettle costs 12 euros.")
    assert found == LongestRun(4, 7)  # blue kettle costs 12; "The" and "the" differ
    assert found.share == pytest.approx(4 / 7)
    assert longest_run("", "text") == LongestRun(0, 0)
    assert longest_run("", "text").share is None
    assert longest_run("text", "") == LongestRun(0, 1)
    assert longest_run("a b", "a b") == LongestRun(2, 2)


@given(st.lists(st.sampled_from(["one", "two", "three", "."]), max_size=25), st.integers(0, 2**32))
def test_the_longest_run_is_that_of_all_runs(words: list[str], seed: int) -> None:
    import random

    rng = random.Random(seed)
    others = [word if rng.random() < 0.8 else "four" for word in rng.sample(words, len(words))]
    letters = {word: letter for letter, word in enumerate(["one", "two", "three", ".", "four"], ord("a"))}
    ours, theirs = ("".join(chr(letters[word]) for word in text) for text in (words, others))
    found = longest_run(" ".join(words), " ".join(others))
    assert found == LongestRun(common(ours, theirs) if words else 0, len(words))

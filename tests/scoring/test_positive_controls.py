"""Each alteration changes what it says it changes, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from auditkit.errors import AuditkitError
from auditkit.records import Record
from auditkit.scoring.positive_controls import (
    INFORMATIONAL_VARIANTS,
    REQUIRED_VARIANTS,
    VARIANTS_NOT_RUN,
    altered_texts,
    chosen_members,
    vocabulary_of,
)

VARIANTS = (*REQUIRED_VARIANTS, *INFORMATIONAL_VARIANTS)
prose = st.lists(st.from_regex(r"[a-z0-9]{1,8}[.,]?", fullmatch=True), min_size=1, max_size=60).map(" ".join)


def record(prompt: str, response: str = "", index: int = 0) -> Record:
    return Record("data", "member", index, f"{index:x}", prompt, response)


def altered(variant: str, text: str, vocabulary: list[str] | None = None) -> list[str]:
    return altered_texts(variant, [record(text)], "record", 3, vocabulary or ["alpha", "beta", "gamma"])


def test_the_four_required_ones() -> None:
    assert REQUIRED_VARIANTS == ("verbatim", "numbers_changed", "words_replaced", "cut_90")
    assert INFORMATIONAL_VARIANTS == ("characters_edited", "prompt_alone")
    assert "paraphrased" in VARIANTS_NOT_RUN


@given(prose)
def test_verbatim_is_the_text(text: str) -> None:
    assert altered("verbatim", text) == [text]


@given(prose)
def test_every_number_changes_and_nothing_else_does(text: str) -> None:
    found = altered("numbers_changed", text)
    numbers = re.findall(r"\d+", text)
    if not numbers:
        assert found == []
        return
    assert re.sub(r"\d", "#", found[0]) == re.sub(r"\d", "#", text)
    for old, new in zip(numbers, re.findall(r"\d+", found[0]), strict=True):
        assert old != new
        assert len(new) == 1 or new[0] != "0"


@given(prose)
def test_a_twentieth_of_the_words_is_replaced(text: str) -> None:
    [found] = altered("words_replaced", text)
    old, new = re.findall(r"\w+", text), re.findall(r"\w+", found)
    changed = [b for a, b in zip(old, new, strict=True) if a != b]
    assert len(changed) == max(1, round(0.05 * len(old)))
    assert set(changed) <= {"alpha", "beta", "gamma"}
    assert re.sub(r"\w+", "", found) == re.sub(r"\w+", "", text)


def test_words_replaced_never_keeps_the_word() -> None:
    texts = [record("same " * 20, index=i) for i in range(50)]
    found = altered_texts("words_replaced", texts, "record", 1, ["other", "same"])
    assert all("other" in text for text in found)


@given(prose)
def test_cut_keeps_nine_tenths_from_the_start(text: str) -> None:
    found = altered("cut_90", text)
    assert found in ([text[: round(0.9 * len(text))].rstrip()], [])


@given(prose.filter(lambda text: len(text) > 20))
def test_a_twentieth_of_the_characters_is_edited(text: str) -> None:
    [found] = altered("characters_edited", text)
    assert Levenshtein.distance(found, text) <= max(1, round(0.05 * len(text)))


def test_the_prompt_alone_of_a_whole_record() -> None:
    both = [record("question", "answer"), record("only a prompt")]
    assert altered_texts("prompt_alone", both, "record", 1) == ["question"]
    assert altered_texts("prompt_alone", both, "prompt", 1) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_record_is_altered_the_same_way_whichever_others_were_chosen(variant: str) -> None:
    records = [record(f"record number {i} has {i * 37} words of its own kind", f"reply {i}", i) for i in range(30)]
    words = vocabulary_of([r.text for r in records])
    whole = altered_texts(variant, records, "record", 5, words)
    assert whole == altered_texts(variant, records, "record", 5, words)
    assert altered_texts(variant, records[10:12], "record", 5, words) == whole[10:12]
    if variant in ("numbers_changed", "words_replaced", "characters_edited"):
        assert altered_texts(variant, records, "record", 6, words) != whole


def test_members_are_chosen_by_seed() -> None:
    first = chosen_members(1000, seed=1)
    assert len(set(first.tolist())) == 200
    assert first.tolist() == sorted(first.tolist()) == chosen_members(1000, seed=1).tolist()
    assert first.tolist() != chosen_members(1000, seed=2).tolist()
    assert chosen_members(7, seed=1).tolist() == list(range(7))


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(AuditkitError, match="verbatim"):
        altered_texts("paraphrased", [], "record", 1)

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from auditkit.lab.generators.maths import final_number, reward
from auditkit.lab.generators.table import GeneratorName, generator
from auditkit.lab.generators.variants import VARIANTS, near_duplicate, similarity, variant_of, whole_text

NAMES: tuple[GeneratorName, ...] = ("support", "maths", "sums", "preference", "plain")
seeds = st.integers(0, 2**32)


@given(st.sampled_from(NAMES), seeds)
def test_a_draft_always_makes_the_same_record_with_its_generator_s_fields(name: GeneratorName, seed: int) -> None:
    source = generator(name)
    draft = source.draw(Random(seed))
    fields = source.record(draft)
    assert fields == source.record(draft)
    assert tuple(fields) == source.fields
    assert all(text.strip() == text and text and "{" not in text for text in fields.values())


@given(seeds)
def test_the_answer_follows_from_the_numbers_of_the_problem(seed: int) -> None:
    fields = generator("maths").record(generator("maths").draw(Random(seed)))
    stated = sorted(int(number) for number in re.findall(r"\d+", fields["prompt"]))
    left, sign, right = fields["response"].split(" = ")[0].split()
    assert sorted([int(left), int(right)]) == stated, "the working starts from the numbers of the text"
    expected = int(left) + int(right) if sign == "+" else int(left) - int(right)
    assert final_number(fields["response"]) == fields["answer"] == str(expected)
    assert reward(fields["response"], fields["answer"]) == 1
    assert reward(f"#### {expected + 1}", fields["answer"]) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "answer", "worth"),
    [
        ("no idea", "7", 0.0),
        ("7", "7", 0.0),
        ("#### seven", "7", 0.0),
        ("#### 3\nno, #### 7", "7", 1.0),
        ("so #### 1,250", "1250", 1.0),
        ("#### 7.0", "7", 1.0),
        ("#### -7", "7", 0.1),
    ],
)
def test_rewards(text: str, answer: str, worth: float) -> None:
    assert reward(text, answer) == worth


@given(st.sampled_from(NAMES[:4]), st.sampled_from(VARIANTS), seeds)
def test_a_variant_changes_what_it_says_and_nothing_else(name: GeneratorName, kind: str, seed: int) -> None:
    source, rng = generator(name), Random(seed)
    draft = source.draw(rng)
    original = source.record(draft)
    varied = variant_of(source, draft, kind, rng)  # type: ignore[arg-type]
    if kind == "numbers":
        assert _without_numbers(varied) == _without_numbers(original)
    elif kind == "near_duplicate":
        assert sorted(whole_text(varied)) == sorted(whole_text(original)), "letters are swapped, none is new"
        assert re.findall(r"\d+", whole_text(varied)) == re.findall(r"\d+", whole_text(original))
        assert similarity(original, varied) > 0.85
    else:
        assert varied.get("answer") == original.get("answer"), "other words, the same facts"


def _without_numbers(fields: dict[str, str]) -> list[str]:
    return [re.sub(r"\d+", "#", text) for text in fields.values()]


@given(seeds)
def test_similarity_is_levenshtein_s(seed: int) -> None:
    source, rng = generator("support"), Random(seed)
    one, other = (source.record(source.draw(rng)) for _ in range(2))
    a, b = whole_text(one), whole_text(other)
    assert similarity(one, other) == pytest.approx(1 - Levenshtein.distance(a, b) / max(len(a), len(b)))
    assert similarity(one, one) == 1


def test_a_text_without_long_words_has_no_near_duplicate_and_stays() -> None:
    assert near_duplicate({"prompt": "1 2 3"}, Random(0)) == {"prompt": "1 2 3"}

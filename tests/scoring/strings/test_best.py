"""String search against brute force by rapidfuzz, on adversarial strings."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Indel, Levenshtein

from auditkit.errors import AuditkitError
from auditkit.scoring.strings.best import Measure, StringIndex, best_string_matches, exact_similarities, similarity
from auditkit.scoring.strings.pairs import as_similarity, reaches

BRUTE: dict[str, Callable[[str, str], float]] = {
    "levenshtein": Levenshtein.normalized_similarity,
    "indel": Indel.normalized_similarity,
}
MEASURES: list[Measure] = ["levenshtein", "indel"]

runs = st.builds(lambda c, n: c * n, st.sampled_from("ab\U0001f600\u00e9"), st.integers(0, 30))
any_text = st.text(alphabet=st.characters(codec="utf-8"), max_size=25)


@st.composite
def edited(draw: st.DrawFn, base: str) -> str:
    """One edit at each end, or a few anywhere: what sits right at a floor."""
    text = draw(
        st.sampled_from([base, "x" + base, base + "x", "x" + base[1:-1] + "y", base[1:], base[:-1], base[::-1]])
    )
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(["", "z", "\U0001f600"])) + text[at + draw(st.integers(0, 1)) :]
    return text


@st.composite
def families(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    bases = draw(st.lists(st.one_of(runs, any_text), min_size=1, max_size=4))
    near = st.sampled_from(bases).flatmap(edited)
    return draw(st.lists(near, max_size=8)), draw(st.lists(st.one_of(near, any_text), max_size=8))


def brute_force(
    generations: list[str], records: list[str], measure: Measure, floor: float
) -> tuple[list[int], list[float]]:
    index, best = [], []
    for text in generations:
        scores = [BRUTE[measure](text, record) for record in records]
        top = max(scores, default=-1.0)
        enough = bool(reaches(np.array(top), floor))  # as fractions: 1 - 9/10 is 0.1, whatever its last digit
        index.append(scores.index(top) if enough else -1)
        best.append(top if enough else 0.0)
    return index, best


@settings(max_examples=250, deadline=None)
@given(families(), st.sampled_from(MEASURES), st.sampled_from([0.0, 0.1, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0]))
@example((["abcdefghij"], ["abcdefghiX", "Xbcdefghij"]), "levenshtein", 0.9)
@example((["", "a"], ["", "b", ""]), "levenshtein", 0.8)
@example((["0" * 10], ["0"]), "levenshtein", 0.1)
@example((["a" * 10], ["a" * 9, "a" * 11]), "indel", 0.95)
def test_is_brute_force(texts: tuple[list[str], list[str]], measure: Measure, floor: float) -> None:
    index, best = best_string_matches(*texts, measure=measure, floor=floor)
    expected_index, expected = brute_force(*texts, measure, floor)
    assert index.dtype == np.int64
    assert best.dtype == np.float64
    assert index.tolist() == expected_index
    assert best.tolist() == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(any_text, any_text), max_size=10), st.sampled_from(MEASURES))
def test_exact_similarities_are_rapidfuzz(pairs: list[tuple[str, str]], measure: Measure) -> None:
    found = exact_similarities([a for a, _ in pairs], [b for _, b in pairs], measure)
    assert found.tolist() == [BRUTE[measure](a, b) for a, b in pairs]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("floor", [0.8, 0.9])
def test_is_brute_force_on_prose(measure: Measure, floor: float) -> None:
    rng = np.random.default_rng(1)
    words = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "per", "sta") for b in ("ne", "ri", "so", "tal", "vek")]
    records = [" ".join(rng.choice(words, rng.integers(20, 60))) for _ in range(300)]
    generations = []
    for text in records[:80]:
        characters = list(text)
        for at in rng.choice(len(text), rng.integers(0, len(text) // 4), replace=False):
            characters[at] = str(rng.choice(list("aeiou xyz"))) * int(rng.integers(0, 3))
        generations.append("".join(characters))
    index, best = best_string_matches(generations, records, measure, floor)
    expected_index, expected = brute_force(generations, records, measure, floor)
    assert index.tolist() == expected_index
    assert best.tolist() == expected
    assert 0 < sum(i >= 0 for i in expected_index) < 80


def test_long_texts_and_lone_surrogates() -> None:
    long = "ab" * 20_000
    index, best = best_string_matches([long[:-1], "x\ud800y"], [long, "x\ud800z"], floor=0.6)
    assert index.tolist() == [0, 1]
    assert best.tolist() == [1 - 1 / 40_000, 1 - 1 / 3]


def test_records_made_ready_serve_block_after_block() -> None:
    index = StringIndex(["one two three", "four five six", "one two three"])
    assert index.best(["one two thre"])[0].tolist() == [0]
    assert index.best(["four five sixx", "seven"])[0].tolist() == [1, -1]
    assert index.best([])[0].tolist() == []


def test_nothing_to_search() -> None:
    index, best = best_string_matches(["a", "b"], [])
    assert index.tolist() == [-1, -1]
    assert best.tolist() == [0.0, 0.0]


def test_similarity_of_a_pair() -> None:
    assert similarity("kitten", "sitting") == 1 - 3 / 7
    assert similarity("kitten", "sitting", "indel") == 1 - 5 / 13
    assert similarity("", "") == 1.0
    assert similarity("", "a") == 0.0


def test_wrong_arguments_say_what_would_do() -> None:
    with pytest.raises(AuditkitError, match="levenshtein, indel"):
        best_string_matches(["a"], ["a"], "jaro")  # type: ignore[arg-type]
    with pytest.raises(AuditkitError, match="0 to 1"):
        best_string_matches(["a"], ["a"], floor=80)
    with pytest.raises(ValueError):
        exact_similarities(["a"], [])


def _edited(size: int, edits: int) -> tuple[str, str]:
    text = "".join(chr(0x4E00 + at) for at in range(size))
    return text, "#" * edits + text[edits:]


@pytest.mark.parametrize("measure", MEASURES)
def test_a_match_right_at_the_floor_counts_and_one_edit_more_does_not(measure: Measure) -> None:
    """At every floor of two decimals, by fractions: 1 - 7 / 100 is a match at 0.93, whatever its float is."""
    for hundredth in range(1, 101):
        floor = Fraction(hundredth, 100)
        for size in (50, 100, 300):
            most = int((1 - floor) * size)  # a substitution is two edits of twice the length by Indel
            for edits in {most, min(most + 1, size)}:
                text, other = _edited(size, edits)
                counts = 1 - Fraction(edits, size) >= floor
                (index,), (best,) = best_string_matches([text], [other], measure, float(floor))
                assert index == (0 if counts else -1), (measure, hundredth, size, edits)
                assert best == (BRUTE[measure](text, other) if counts else 0.0)


def test_every_fraction_reaches_exactly_what_it_is_not_less_than() -> None:
    for hundredth in range(101):
        for full in range(1, 300):
            edits = np.arange(full + 1)
            expected = edits * 100 <= (100 - hundredth) * full  # whole numbers
            found = reaches(as_similarity(edits, np.full(full + 1, full)), hundredth / 100)
            np.testing.assert_array_equal(found, expected)

"""Every bound of the string search by itself: none rules out a pair that reaches the floor, and each rules out some."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz import process
from rapidfuzz.distance import Indel, Levenshtein

from auditkit.scoring.strings import codes as string_codes
from auditkit.scoring.strings import search as string_search
from auditkit.scoring.strings.best import Measure, StringIndex, best_string_matches
from auditkit.scoring.strings.codes import SortedTexts
from auditkit.scoring.strings.near_duplicates import near_duplicate_clusters
from auditkit.scoring.strings.pairs import Bar
from auditkit.scoring.strings.search import STAGES, Comparison, Wanted, candidate_pairs

QUICKSTART = Path(__file__).resolve().parents[3] / "examples" / "quickstart" / "data"
BRUTE: dict[str, Callable[[str, str], float]] = {
    "levenshtein": Levenshtein.normalized_similarity,
    "indel": Indel.normalized_similarity,
}
MEASURES: list[Measure] = ["levenshtein", "indel"]
FLOORS = [0.0, 0.5, 0.7, 0.8, 0.9, 1.0]
ALPHABETS = ["a", "ab", "abcdefghijklmnopqrstuvwxyz ", "a\u00e9\U0001f600\U0001f601\ud800\u4e00\U0002f600"]

# around the edges of the 64-bit words in which the search works, and of the 8 rows of a byte
lengths = st.sampled_from([0, 1, 2, 3, 7, 8, 9, 31, 62, 63, 64, 65, 66, 100, 127, 128, 129, 191, 192, 193, 260])


@st.composite
def relatives(draw: st.DrawFn) -> list[str]:
    """A text, and what becomes of it when ends, blocks and single characters change."""
    letters, size = draw(st.sampled_from(ALPHABETS)), draw(lengths)
    random = draw(st.randoms(use_true_random=False))
    text = "".join(random.choice(letters) for _ in range(size))
    found = [text]
    for _ in range(draw(st.integers(1, 7))):
        found.append(_changed(random.choice(found), draw(st.integers(0, 6)), random, letters + "z"))
    return found


def _changed(text: str, kind: int, random: Random, letters: str) -> str:
    def pick(most: int) -> int:
        return random.randint(0, max(most, 0))

    at, other = sorted((pick(len(text)), pick(len(text))))
    new = letters[pick(len(letters) - 1)]
    if kind == 0:  # a block moves to the front
        return text[at:other] + text[:at] + text[other:]
    if kind == 1:  # a block goes
        return text[:at] + text[min(other, at + 20) :]
    if kind == 2:  # a block comes
        return text[:at] + new * pick(30) + text[at:]
    if kind == 3:
        return new + text[1:-1] + new
    if kind == 4:
        return text[1:]
    if kind == 5:
        return text[:-1] + new
    share = pick(30) / 100
    return "".join(new if pick(99) < 100 * share else letter for letter in text)


def true_pairs(left: Sequence[str], right: Sequence[str], bar: Bar) -> set[tuple[str, str]]:
    return {(a, b) for a, b in product(left, right) if BRUTE[bar.measure](a, b) >= bar.floor}


def kept_pairs(left: Sequence[str], right: Sequence[str], bar: Bar, stages: Sequence[str]) -> set[tuple[str, str]]:
    records = SortedTexts.of(right)
    rows, positions = SortedTexts.of(left, records.alphabet), np.arange(len(right))
    found = candidate_pairs(Comparison(rows, records, positions, bar, Wanted.best(len(left))), stages)
    pairs = [pair for some in found for pair in zip(*(side.tolist() for side in some), strict=True)]
    return {(rows.texts[i], records.texts[j]) for i, j in pairs}


@settings(max_examples=80, deadline=None)
@given(relatives(), relatives(), st.sampled_from(MEASURES), st.sampled_from(FLOORS))
def test_no_bound_rules_out_a_true_pair(left: list[str], right: list[str], measure: Measure, floor: float) -> None:
    bar = Bar(measure, floor)
    right = right + left[::2]
    expected = true_pairs(left, right, bar)
    for stages in ((), *((stage,) for stage in STAGES), STAGES):
        assert kept_pairs(left, right, bar, stages) >= expected, stages


@settings(max_examples=60, deadline=None)
@given(relatives(), st.sampled_from(MEASURES), st.sampled_from(FLOORS))
def test_is_brute_force_among_relatives(texts: list[str], measure: Measure, floor: float) -> None:
    index, best = best_string_matches(texts, texts[::-1], measure, floor)
    assert best.tolist() == [1.0] * len(texts)
    others = [[other for other in texts if other != text] for text in texts]
    for text, records in zip(texts, others, strict=True):
        index, best = best_string_matches([text], records, measure, floor)
        scores = [BRUTE[measure](text, record) for record in records]
        top = max(scores, default=-1.0)
        assert best[0] == (top if top >= floor else 0)
        assert index[0] == (scores.index(top) if top >= floor else -1)


def prose(count: int, seed: int) -> list[str]:
    """Same-topic texts of 100 to 1,500 characters: questions and answers, cut and joined."""
    rows = [json.loads(line) for line in (QUICKSTART / "sft.jsonl").read_text().splitlines()]
    pieces = [" ".join(str(value) for value in row.values()) for row in rows]
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        size, text = int(random.integers(100, 1500)), ""
        while len(text) < size:
            text += pieces[int(random.integers(len(pieces)))][int(random.integers(40)) :] + " "
        found.append(text[:size])
    return found


@pytest.mark.parametrize(
    ("measure", "floor", "stage"),
    [(m, 0.9, s) for m in MEASURES for s in STAGES] + [(m, 0.75, "columns") for m in MEASURES],
)
def test_each_bound_rules_out_most_of_prose(measure: Measure, floor: float, stage: str) -> None:
    left, right, bar = prose(60, 1), prose(60, 2), Bar(measure, floor)
    by_length = kept_pairs(left, right, bar, ())
    kept = kept_pairs(left, right, bar, (stage,))
    assert len(by_length) > 300
    assert len(kept) < 0.5 * len(by_length)
    if stage == "columns":  # no two of these characters share a class, so the search decides exactly
        assert kept == true_pairs(left, right, bar)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("floor", [0.5, 0.7, 0.8, 0.9])
def test_is_brute_force_on_hundreds_of_texts(measure: Measure, floor: float) -> None:
    records = prose(250, 3)
    random = np.random.default_rng(4)
    generations = [edited(text, random) for text in records[:100]] + prose(100, 5)
    index, best = best_string_matches(generations, records, measure, floor)
    scorer = (Levenshtein if measure == "levenshtein" else Indel).normalized_similarity
    scores = process.cdist(generations, records, scorer=scorer, dtype=np.float64)
    expected = np.where(scores.max(1) >= floor, scores.max(1), 0.0)
    assert best.tolist() == expected.tolist()
    assert index.tolist() == np.where(expected > 0, scores.argmax(1), -1).tolist()
    assert 10 < (index >= 0).sum()


def edited(text: str, random: np.random.Generator) -> str:
    letters = list(text)
    for at in random.choice(len(text), int(random.integers(0, len(text) // 3)), replace=False):
        letters[at] = str(random.choice(list("aeiou xyz"))) * int(random.integers(0, 3))
    return "".join(letters)


def test_ties_go_to_the_lowest_record_however_they_are_found() -> None:
    """Records of every length on both sides of the generation, many of them equally near."""
    base = prose(1, 6)[0][:200]
    records = [base[:at] + "#" * 10 + base[at + 10 :] for at in range(0, 190, 3)]
    random = np.random.default_rng(7)
    for _ in range(5):
        shuffled = [records[i] for i in random.permutation(len(records))]
        index, best = best_string_matches([base], shuffled, "levenshtein", 0.8)
        scores = [Levenshtein.normalized_similarity(base, record) for record in shuffled]
        assert (index[0], best[0]) == (int(np.argmax(scores)), max(scores))


@pytest.mark.parametrize("measure", MEASURES)
def test_one_core_and_small_blocks_find_the_same(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    generations, records = prose(150, 8), prose(500, 8)
    expected = StringIndex(records).best(generations, measure, 0.7)
    assert (expected[0] >= 0).sum() >= 1
    monkeypatch.setattr(string_search, "BLOCK", 128)
    monkeypatch.setattr(string_codes, "BLOCK", 128)
    monkeypatch.setattr(string_search, "ROWS", 32)
    monkeypatch.setattr(string_codes, "KEPT_BLOCKS", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    found = StringIndex(records).best(generations, measure, 0.7)
    assert found[0].tolist() == expected[0].tolist()
    assert found[1].tolist() == expected[1].tolist()


@pytest.mark.parametrize("measure", MEASURES)
def test_texts_beyond_the_search_in_words(measure: Measure) -> None:
    """A long record takes no large tables, and is measured all the same."""
    long = "".join(prose(1, seed)[0] for seed in range(110, 150))
    records = ["short", long, long[:9000] + "x" * 300 + long[9000:], "\U0001f600" * 20_000]
    index, best = best_string_matches([long[5:] + "y", "\U0001f600" * 19_000], records, measure, 0.9)
    assert index.tolist() == [1, 3]
    assert best.tolist() == [BRUTE[measure](long[5:] + "y", long), BRUTE[measure]("a" * 19_000, "a" * 20_000)]


def test_clusters_of_near_versions_of_many_templates() -> None:
    templates = [text[:300] for text in prose(12, 9)]
    random = np.random.default_rng(10)
    made = [(which, f"{templates[which]} no. {random.integers(10**6)}") for which in random.integers(12, size=600)]
    labels = near_duplicate_clusters([text for _, text in made], 0.9)
    order: dict[int, int] = {}
    assert labels.tolist() == [order.setdefault(int(which), len(order)) for which, _ in made]

"""Clusters of near-duplicates against a search of all pairs."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from auditkit.errors import AuditkitError
from auditkit.scoring.strings.best import near_duplicate_clusters

near = st.builds(
    lambda base, tail: base + tail, st.sampled_from(["abcdefghij" * 2, "b" * 20, ""]), st.text("xy", max_size=5)
)


def brute_force(texts: list[str], threshold: float) -> list[int]:
    """Labels by repeatedly merging, numbered by first text."""
    labels = list(range(len(texts)))
    for i, a in enumerate(texts):
        for j, b in enumerate(texts):
            if Levenshtein.normalized_similarity(a, b) >= threshold and labels[i] != labels[j]:
                low, high = sorted((labels[i], labels[j]))
                labels = [low if label == high else label for label in labels]
    order: dict[int, int] = {}
    return [order.setdefault(label, len(order)) for label in labels]


@settings(max_examples=200, deadline=None)
@given(st.lists(near, max_size=15), st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_is_brute_force(texts: list[str], threshold: float) -> None:
    assert near_duplicate_clusters(texts, threshold).tolist() == brute_force(texts, threshold)


def test_a_chain_is_one_cluster() -> None:
    base = "abcdefghijklmnopqrst"
    chain = [base, "X" + base[1:], "XY" + base[2:], "XYZ" + base[3:], "0123456789"]
    assert near_duplicate_clusters(chain, 0.95).tolist() == [0, 0, 0, 0, 1]


def test_exact_duplicates_share_a_cluster() -> None:
    labels = near_duplicate_clusters(["one text", "another", "one text"])
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 0]
    assert near_duplicate_clusters([]).tolist() == []


def test_thousands_of_near_versions_of_one_record_join_quickly() -> None:
    """All pairs are similar: measuring each would take minutes."""
    rng = np.random.default_rng(1)
    base = "The customer of order number 000000 asked for a refund of the parcel that never arrived. " * 4
    texts = [base.replace("000000", f"{number:06d}") for number in rng.permutation(100_000)[:3000]]
    started = time.perf_counter()
    assert set(near_duplicate_clusters(texts).tolist()) == {0}
    assert time.perf_counter() - started < 20


def test_an_impossible_threshold_is_refused() -> None:
    with pytest.raises(AuditkitError):
        near_duplicate_clusters(["a"], 90)


@pytest.mark.parametrize(("threshold", "edits"), [(0.66, 34), (0.67, 33), (0.68, 32), (0.93, 7)])
def test_texts_right_at_the_threshold_are_connected(threshold: float, edits: int) -> None:
    text = "".join(chr(0x4E00 + at) for at in range(100))
    other, further = "#" * edits + text[edits:], "+" * (edits + 1) + text[edits + 1 :]
    assert near_duplicate_clusters([text, other], threshold).tolist() == [0, 0]
    assert near_duplicate_clusters([text, further], threshold).tolist() == [0, 1]

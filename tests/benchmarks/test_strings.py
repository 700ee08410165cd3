"""The string benchmark compares the same search on both sides, and says what its texts are."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import strings
from benchmarks.measure import Skipped


def test_both_sides_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(strings.VARIABLE, raising=False)
    entries = strings.floors(1, n=60, peer_rows=20)
    assert [entry.name.split(", ")[1] for entry in entries] == [
        "levenshtein from 0.8",
        "levenshtein from 0.7",
        "indel from 0.9",
        "indel from 0.8",
    ]
    for entry in entries:
        assert entry.identical
        assert entry.n == 60
        assert "not set" in entry.more["texts"]
        assert entry.more["matches_in_the_rows_compared"] >= 10


def test_the_papers_scale_is_extrapolated_or_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(strings.VARIABLE, raising=False)
    for whole in (False, True):
        (entry,) = strings.paper_scale(1, sizes=(60, 200), slices=(5, 20), whole=whole)
        assert entry.ours_s is not None
        assert entry.ours_s == pytest.approx(sum(entry.more[n] for n in entry.more if n != "texts"), abs=0.3)


def test_without_texts_it_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(strings.VARIABLE, str(tmp_path / "none.jsonl"))
    with pytest.raises(Skipped, match=strings.VARIABLE):
        strings.floors(1)


def test_texts_have_the_lengths_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "how many?", "answer": "4"}\n{"question": "why?", "answer": "so"}\n')
    monkeypatch.setenv(strings.VARIABLE, str(path))
    pieces = strings.Pieces.found()
    assert pieces.source == "rows.jsonl"
    made = pieces.texts_of(50, seed=1, shortest=10, longest=30)
    assert {len(text) for text in made} <= set(range(10, 31))
    assert made == pieces.texts_of(50, seed=1, shortest=10, longest=30)

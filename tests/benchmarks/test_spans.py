"""Both sides of the benchmark find the same spans."""

from __future__ import annotations

from benchmarks.spans import spans


def test_the_first_span_is_what_difflib_finds() -> None:
    entries = spans(1, pairs=2, length=300)
    assert len(entries) == 2
    assert all(entry.identical and entry.ratio > 0 for entry in entries)

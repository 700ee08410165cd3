from __future__ import annotations

from pathlib import Path

from auditkit.corpus.overlap import exact_overlap
from tests.corpus.helpers import read_rows, rows


def test_controls_that_repeat_a_member_are_found(tmp_path: Path) -> None:
    members = read_rows(tmp_path, [*rows(3), *rows(1)])
    controls = read_rows(
        tmp_path, [*rows(2, start=10), {"q": " question 0? ", "a": "answer 0"}, {"q": "question 2?", "a": "new"}]
    )
    assert exact_overlap(members, controls) == [(0, 2), (2, 3)]
    assert exact_overlap(members, controls, view="record") == [(0, 2)]


def test_other_controls_are_not(tmp_path: Path) -> None:
    members, controls = read_rows(tmp_path, rows(3)), read_rows(tmp_path, rows(3, start=3))
    assert exact_overlap(members, controls) == []

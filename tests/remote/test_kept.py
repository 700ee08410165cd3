"""Answers outlast the process that paid for them, and only that."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from auditkit.errors import RunError
from auditkit.remote.kept import Kept


def test_only_what_an_earlier_process_was_answered_is_given_back(tmp_path: Path) -> None:
    first = Kept(tmp_path / "answers")
    first.put("a 0", "x", b"one")
    assert first.get("a 0", "x") is None  # who asks twice wants two answers
    second = Kept(tmp_path / "answers")
    assert second.get("a 0", "x") == b"one"
    assert second.get("a 0", "y") is None
    assert second.get("b 0", "x") is None
    second.put("a 0", "x", b"two")
    assert second.get("a 0", "x") is None
    assert Kept(tmp_path / "answers").get("a 0", "x") == b"two"
    assert stat.S_IMODE((tmp_path / "answers").stat().st_mode) == 0o600


def test_finished_parts_are_let_go(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "answers")
    for part in ("a 0", "a 64", "completed"):
        kept.put(part, "x", part.encode())
    kept.forget_but("a 64", "completed")
    found = Kept(tmp_path / "answers")
    assert [found.get(part, "x") for part in ("a 0", "a 64", "completed")] == [None, b"a 64", b"completed"]


def test_threads_share_it(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "answers")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: kept.put("a", str(number), b"%d" % number), range(40)))
    found = Kept(tmp_path / "answers")
    assert [found.get("a", str(number)) for number in range(40)] == [b"%d" % number for number in range(40)]


def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "answers").write_bytes(b"no database at all" * 100)
    with pytest.raises(RunError, match="cannot be used") as caught:
        Kept(tmp_path / "answers")
    assert "removed" in caught.value.hint

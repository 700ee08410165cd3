"""Writing: whole or not at all, and the operating system's refusals in words."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from auditkit.errors import RunError
from auditkit.files import appearing, make_folder, replacing, write_bytes


def test_a_file_appears_whole_and_owner_only(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a.json", b"{}")
    assert (tmp_path / "a.json").read_bytes() == b"{}"
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_leaves_the_old_file_and_no_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_bytes(target, b"old")
    with pytest.raises(ValueError, match="broke"), replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise ValueError("broke")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_appears_whole_and_owner_only_and_leftovers_go(tmp_path: Path) -> None:
    (tmp_path / ".made.1.part").mkdir()
    with appearing(tmp_path / "made") as folder:
        (folder / "inside").mkdir(mode=0o777)
        (folder / "inside" / "text").write_text("x")
        assert not (tmp_path / "made").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "made", *sorted((tmp_path / "made").rglob("*")))]
    assert modes == [0o700, 0o700, 0o600]


def test_a_folder_that_is_not_finished_never_appears(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half way"), appearing(tmp_path / "made") as folder:
        (folder / "text").write_text("x")
        raise ValueError("half way")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write") as caught:
        make_folder(tmp_path / "file" / "reports")
    assert "--out" in caught.value.hint


def test_running_out_of_room_is_an_error_in_words_and_leaves_nothing(tmp_path: Path) -> None:
    # RLIMIT_FSIZE is a limit that the kernel enforces in mid-write, as a full disk is.
    program = (
        "import resource; from pathlib import Path; from auditkit.files import write_bytes\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"write_bytes(Path({str(tmp_path / 'a.bin')!r}), bytes(5000))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "RunError" in done.stderr
    assert "--resume" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_when_the_file_is_synced_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes(tmp_path / "file", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="the disk is full") as caught:
        write_bytes(tmp_path / "file", b"new")
    assert caught.value.exit_code == 4
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

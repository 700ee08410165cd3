"""Files: listed without following links, read within bounds, written whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.signing.files import list_folder, read_bounded, sha256_of, visible


@given(text=st.text())
def test_visible_text_is_one_printable_line(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert len(shown) <= 10 * 300 + 3


@given(text=st.text(st.characters(categories=["L", "N", "P"]), max_size=300))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_a_listing_tells_files_folders_and_the_rest_apart(tmp_path: Path) -> None:
    (tmp_path / "b" / ".c").mkdir(parents=True)
    (tmp_path / "b" / "x").write_bytes(b"")
    (tmp_path / ".a").write_bytes(b"")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    found = list_folder(tmp_path)
    assert found.files == (".a", "b/x")
    assert found.folders == ("b", "b/.c")
    assert found.strange == ("b/loop", "pipe")


def test_pipes_and_links_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero", "."):
        with pytest.raises(OSError, match=r"."):
            sha256_of(tmp_path / name)
        with pytest.raises(OSError, match=r"."):
            read_bounded(tmp_path / name, 10)


def test_a_bound_is_inclusive(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bounded(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ValueError, match="longer than 4 bytes"):
        read_bounded(tmp_path / "file", 4)

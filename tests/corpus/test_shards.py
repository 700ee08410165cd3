from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from auditkit.errors import DataError, Problem
from tests.corpus.helpers import jsonl_bytes, read, rows, write


def refusal(path: Path | str) -> Problem:
    with pytest.raises(DataError) as caught:
        read(path)
    (problem,) = caught.value.problems
    return problem


def test_a_folder_reads_as_its_shards_one_after_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    names = ["part-0.parquet", "part-1.jsonl.gz", "part-2.jsonl", "part-3.jsonl.zst", "part-4/a.jsonl"]
    for number, name in enumerate(reversed(names)):
        write(folder / name, rows(3, start=3 * (len(names) - 1 - number)))
    whole = read(write(tmp_path / "whole.jsonl", rows(15)))
    found = read(folder)
    assert [(r.index, r.id) for r in found.records] == [(r.index, r.id) for r in whole.records]
    assert [r.file for r in found.records[::3]] == names
    assert {r.line for r in found.records} == {1, 2, 3}
    assert sorted(found.file_digests) == names


def test_a_bad_line_in_a_folder_names_its_shard(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", rows(2))
    write(tmp_path / "sub" / "b.jsonl", [*rows(1), {"q": "x"}])
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert (caught.value.problems[0].file, caught.value.problems[0].line) == (tmp_path / "sub" / "b.jsonl", 2)


def test_hidden_files_and_descriptions_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", rows(2))
    write(tmp_path / ".cache" / "b.jsonl", rows(2))
    for name in (".part.jsonl", "README.md", "LICENSE", "dataset_info.json", "_SUCCESS"):
        (tmp_path / name).write_text("no data")
    assert len(read(tmp_path).records) == 2


@pytest.mark.parametrize("name", ["b.json", "b.csv", "b.jsonl.bz2", "b.arrow", "b.zip", "b.gz"])
def test_data_in_another_format_is_not_read_around(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a.jsonl", rows(2))
    (tmp_path / name).write_bytes(b"x")
    problem = refusal(tmp_path)
    assert problem.file == tmp_path / name
    assert "format that is not read" in problem.message


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".hidden.jsonl").write_bytes(jsonl_bytes(rows(1)))
    assert "holds no file" in refusal(tmp_path).message


def test_links_may_not_leave_the_folder(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside.jsonl", rows(1))
    folder = tmp_path / "folder"
    write(folder / "a.jsonl", rows(1, start=5))
    (folder / "inside.jsonl").symlink_to(folder / "a.jsonl")
    assert len(read(folder).records) == 2
    (folder / "b.jsonl").symlink_to(outside)
    problem = refusal(folder)
    assert (problem.file, problem.message) == (folder / "b.jsonl", "is a link that leads out of the dataset's folder")


def test_linked_folders_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "b.jsonl", rows(1))
    write(tmp_path / "folder" / "a.jsonl", rows(1))
    (tmp_path / "folder" / "sub").symlink_to(tmp_path / "elsewhere")
    assert refusal(tmp_path / "folder").message == "is a link to a folder"


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(1))
    problem = refusal(tmp_path / "trian.jsonl")
    assert (problem.message, problem.hint) == ("does not exist", "did you mean train.jsonl?")


def test_a_missing_folder_says_how_far_the_path_exists(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no" / "such" / "file.jsonl").hint == f"only {tmp_path} exists"


@pytest.mark.parametrize("name", ["data.json", "data.csv", "data", "data.jsonl.bz2"])
def test_other_formats_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(jsonl_bytes(rows(1)))
    problem = refusal(tmp_path / name)
    assert "format that is not read" in problem.message
    assert ".jsonl" in problem.hint


def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "neither a file nor a folder" in refusal(tmp_path / "pipe.jsonl").message
    assert "no regular file" in refusal(tmp_path).message


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    assert "name too long" in refusal(tmp_path / ("x" * 5000 + ".jsonl")).message.lower()


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Permissions mean nothing to root: step down for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("what", ["file", "folder", "shard"])
def test_permission_denied_is_said(what: str) -> None:
    # tmp_path lies in a folder that only its owner may enter; the test is about the file's own permission
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        shard = write(top / "data" / "a.jsonl", rows(1))
        target = shard if what == "file" else shard.parent
        locked = shard.parent if what == "folder" else shard
        locked.chmod(0)
        try:
            with an_ordinary_user():
                problem = refusal(target)
        finally:
            locked.chmod(0o755)
        assert problem.message == "Permission denied"
        assert problem.hint == "let the user who runs the audit read it"

"""The ledger of a folder's runs: chained, whole after a crash, one line at a time whoever writes."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.auditing.known_runs import known_runs
from auditkit.auditing.ledger import BEGIN, END, Ledger
from auditkit.errors import RunError


def _filled(folder: Path, runs: int = 3) -> Ledger:
    ledger = Ledger.of(folder)
    for number in range(runs):
        ledger.append(BEGIN, run=f"run-{number}", models={"candidate": "a" * 64}, datasets={"sft": "b" * 64})
        ledger.append(END, run=f"run-{number}", outcome="fail")
    return ledger


def test_it_tells_every_line_in_order_and_is_whole(tmp_path: Path) -> None:
    found = _filled(tmp_path).read()
    assert [(entry.event, entry.run) for entry in found.entries][:3] == [
        ("started", "run-0"),
        ("ended", "run-0"),
        ("started", "run-1"),
    ]
    assert found.problems == ()
    assert len(set(found.digests)) == 6
    assert found.head == found.digests[-1]


def test_where_there_is_none_reading_makes_none(tmp_path: Path) -> None:
    assert Ledger.of(tmp_path / "none").read().entries == ()
    assert not (tmp_path / "none").exists()


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    assert _filled(tmp_path).path.stat().st_mode & 0o777 == 0o600


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_line_can_be_changed_removed_or_moved_unseen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """But the last: its loss is seen by what the runs themselves remember (test_history.py)."""
    ledger = _filled(tmp_path_factory.mktemp("ledger"))
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines) - 2))
    match data.draw(st.sampled_from(["edit", "remove", "swap"])):
        case "edit":
            lines[place] = lines[place].replace(b"run-", b"rum-")
        case "remove":
            del lines[place]
        case _:
            lines[place], lines[place + 1] = lines[place + 1], lines[place]
    ledger.path.write_bytes(b"".join(lines))
    assert ledger.read().problems


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(min_value=1, max_value=60))
def test_a_line_torn_by_a_crash_is_dropped_and_the_chain_goes_on(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    ledger = _filled(tmp_path_factory.mktemp("ledger"))
    ledger.path.write_bytes(ledger.path.read_bytes()[:-cut])
    assert ledger.read().problems == ()  # a crash is no tampering
    assert len(ledger.read().entries) == 5
    ledger.append(BEGIN, run="run-9")
    found = ledger.read()
    assert found.problems == ()
    assert [entry.event for entry in found.entries][-2:] == ["torn_line_dropped", "started"]


@pytest.mark.parametrize(
    "rubbish",
    [b"\x00\xff\n", b"[]\n", b'{"event": 5}\n', b'{"a": NaN}\n', b"[" * 100_000 + b"\n", b"x" * (1 << 21) + b"\n"],
)
def test_rubbish_in_it_is_told_and_nothing_breaks(tmp_path: Path, rubbish: bytes) -> None:
    ledger = _filled(tmp_path, 1)
    with ledger.path.open("ab") as stream:
        stream.write(rubbish)
    assert ledger.read().problems
    ledger.append(BEGIN, run="run-9")
    assert ledger.read().problems


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "ledger.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError):
        Ledger.of(tmp_path).append(BEGIN, run="run-0")
    assert (tmp_path / "elsewhere").read_text() == ""


def _many(folder: str, name: str) -> None:
    for number in range(25):
        Ledger.of(Path(folder)).append(BEGIN, run=f"{name}-{number}")


def test_runs_that_write_at_once_wait_for_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_many, args=(str(tmp_path), name)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = Ledger.of(tmp_path).read()
    assert found.problems == ()
    assert len({entry.run for entry in found.entries}) == 75


@pytest.mark.parametrize("name", ["x" * 300, "..", "/dev", "a\x00b", "../other"])
def test_a_name_that_is_no_folders_breaks_nothing(tmp_path: Path, name: str) -> None:
    ledger = Ledger.of(tmp_path)
    ledger.append(BEGIN, run=name, models={"candidate": "a" * 64}, datasets={"sft": "b" * 64})
    assert [(run.run, run.outcome) for run in known_runs(tmp_path, ledger.read())] == [(name, "unfinished")]


def test_a_run_is_looked_up_in_its_own_folder_only(tmp_path: Path) -> None:
    """A line of a ledger cannot bring in what stands elsewhere."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "events.jsonl").write_text('{"event": "started", "ledger": "elsewhere"}\n')
    ledger = Ledger.of(tmp_path / "reports")
    for name in ("../other", str(other)):
        ledger.append(BEGIN, run=name, models={"candidate": "a" * 64}, datasets={"sft": "b" * 64})
    assert {run.ledger_sha256 for run in known_runs(tmp_path / "reports", ledger.read())} == {""}


def test_no_text_stands_in_it(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in _filled(tmp_path).path.read_bytes().splitlines()]
    assert {key for line in lines for key in line} == {
        *("time", "event", "run", "models", "datasets", "outcome", "prev"),
    }


def test_it_can_be_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    ledger = _filled(tmp_path)
    before = ledger.path.read_bytes()
    ledger.path.chmod(0o400)
    assert len(ledger.read().entries) == 6
    assert ledger.path.read_bytes() == before

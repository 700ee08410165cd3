"""The event log: chained, and whole again after a torn write."""

from __future__ import annotations

import json
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.auditing.events import END_BYTES, EventLog
from auditkit.signing.event_chain import check_chain, line_digest


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_each_line_carries_the_digest_of_the_one_before(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for name in ("started", "sampled", "closed"):
        log.append(name, count=1)
    assert check_chain(tmp_path / "events.jsonl") == []
    assert [line["event"] for line in _lines(log.path)] == ["started", "sampled", "closed"]


def test_an_edited_line_breaks_the_chain(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for name in ("started", "sampled", "closed"):
        log.append(name, count=1)
    log.path.write_bytes(log.path.read_bytes().replace(b'"count": 1', b'"count": 2', 1))
    assert check_chain(log.path)


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(min_value=1, max_value=60))
def test_a_line_torn_by_a_crash_is_dropped_and_the_chain_goes_on(tmp_path_factory: object, cut: int) -> None:
    folder: Path = tmp_path_factory.mktemp("events")  # type: ignore[attr-defined]
    path = folder / "events.jsonl"
    log = EventLog(path)
    log.append("started")
    log.append("sampled", count=3)
    path.write_bytes(path.read_bytes()[:-cut])
    reopened = EventLog(path)
    reopened.append("closed")
    assert check_chain(path) == []
    assert [line["event"] for line in _lines(path)] == ["started", "torn_line_dropped", "closed"]


def test_owner_only(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("started")
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_long_log_is_neither_held_in_memory_nor_parsed_whole(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("started", run="a")
    line = json.dumps({"event": "sampled", "prev": log.head, "of": "x" * 100}).encode() + b"\n"
    with log.path.open("ab") as stream:
        stream.writelines([line] * 100_000)
    tracemalloc.start()
    try:
        reopened = EventLog(log.path)
        assert [found["run"] for found in reopened.recorded("started")] == ["a"]
        assert reopened.count("resumed") == 0
        assert tracemalloc.get_traced_memory()[1] < 2**20, "the log has 20 MB"
    finally:
        tracemalloc.stop()
    assert reopened.head == line_digest(line)


def test_a_line_longer_than_what_is_read_at_once_ends_a_log_as_well(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("started", of="x" * 3 * END_BYTES)
    assert EventLog(log.path).head == log.head
    log.append("sampled", of="x" * 3 * END_BYTES)
    with log.path.open("ab") as stream:
        stream.write(b"y" * 2 * END_BYTES)
    reopened = EventLog(log.path)
    reopened.append("closed")
    assert check_chain(log.path) == []
    assert reopened.recorded("torn_line_dropped")[0]["bytes"] == 2 * END_BYTES


def test_what_interrupts_the_sync_does_not_break_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("started")

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "fsync", interrupted)
        log.append("sampled")
    log.append("closed")
    assert check_chain(log.path) == []
    assert [line["event"] for line in _lines(log.path)] == ["started", "sampled", "closed"]


def test_threads_append_to_one_chain(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: log.append("asked", number=number), range(200)))
    log.append("closed")
    assert check_chain(log.path) == [] and log.count("asked") == 200

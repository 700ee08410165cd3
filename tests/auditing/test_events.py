"""The event log: chained, and whole again after a torn write."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.auditing.events import EventLog
from auditkit.signing.event_chain import check_chain


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

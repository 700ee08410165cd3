"""What every registered report format keeps to."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from auditkit.registry import kinds, plugin_class
from auditkit.report.base import ReportFormat
from tests.report.builder import small_report


def made(kind: str) -> ReportFormat:
    found: ReportFormat = plugin_class("formats", kind).model_validate({"kind": kind})
    return found


@pytest.mark.parametrize("kind", sorted(kinds("formats")))
def test_a_format_keeps_to_the_contract(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a format reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    report = small_report()
    before = report.model_copy(deep=True)
    form = made(kind)
    assert isinstance(form, ReportFormat) and form.kind == kind and form.missing() is None
    paths = form.write(report, tmp_path)
    assert report == before
    assert paths and {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
    for path in paths:
        assert path.parent == tmp_path and path.stat().st_size > 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", sorted(set(kinds("formats")) - {"pdf"}))  # a PDF says when it was made
def test_the_same_report_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    first = {path: path.read_bytes() for path in made(kind).write(small_report(), tmp_path)}
    assert {path: path.read_bytes() for path in made(kind).write(small_report(), tmp_path)} == first

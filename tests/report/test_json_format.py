from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from auditkit.errors import AuditkitError
from auditkit.report.base import ScatterPoint
from auditkit.report.json_format import LARGEST_FILE, JsonFormat, canonical, load
from tests.report.builder import build_report, small_report


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    report = build_report()
    path, _ = JsonFormat().write(report, tmp_path)
    assert path.name == "audit.json"
    assert load(path) == report
    assert canonical(load(path)) == path.read_bytes()


def test_of_a_redacted_report_nothing_is_written_that_could_pass_for_a_whole_one(tmp_path: Path) -> None:
    _, redacted = JsonFormat().write(small_report(), tmp_path)
    assert redacted.name == "audit.redacted.json"
    (tmp_path / "again").mkdir()
    (again,) = JsonFormat().write(load(redacted), tmp_path / "again")
    assert again.name == "audit.redacted.json"
    assert again.read_bytes() == redacted.read_bytes()


def test_the_json_is_canonical() -> None:
    content = canonical(small_report())
    parsed = json.loads(content)
    again = json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert list(parsed) == sorted(parsed)
    assert len(again) >= len(content) and not content.endswith(b"\n")


def test_figures_lose_no_digit(tmp_path: Path) -> None:
    report = small_report()
    exact = ScatterPoint(embedding=0.1 + 0.2, levenshtein=1e-300, length=1)
    scatter = report.figures.scatters[0].model_copy(update={"points": [exact]})
    figures = report.figures.model_copy(update={"scatters": [scatter]})
    path, _ = JsonFormat().write(report.model_copy(update={"figures": figures}), tmp_path)
    assert load(path).figures.scatters[0].points == [exact]


def test_a_seed_beyond_doubles_survives(tmp_path: Path) -> None:
    path, _ = JsonFormat().write(small_report(seed=2**63 - 1), tmp_path)
    assert load(path).seed == 2**63 - 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_nan_reaches_a_file(tmp_path: Path, value: float) -> None:
    with pytest.raises(AuditkitError, match="cannot be written as JSON"):
        JsonFormat().write(small_report(provenance={"x": value}), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("[1,", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"schema_version": "1.0", "seed": NaN}', "is not JSON"),
        ('{"schema_version": "1.0", "seed": 1e999}', "is not JSON: 1e999 is beyond"),
        ('{"schema_version": "1.0", "schema_version": "1.1"}', "is not JSON: a key stands twice"),
        ('{"provenance": ' + "[" * 64 + "]" * 64 + "}", "nested over 64 levels"),
        ("[]", "is not an audit report"),
        ("{}", "no schema version"),
        ('{"schema_version": "9.0"}', "schema version '9.0'"),
        ('{"schema_version": "1.0"}', "wrong or missing at"),
    ],
)
def test_a_damaged_file_is_refused_with_advice(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "audit.json"
    path.write_text(content)
    with pytest.raises(AuditkitError, match=message) as caught:
        load(path)
    assert caught.value.hint


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditkitError, match="cannot read"):
        load(tmp_path / "audit.json")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    with path.open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)  # sparse: it takes no room
    with pytest.raises(AuditkitError, match="is over 512 MiB") as caught:
        load(path)
    assert caught.value.hint


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "audit.json")
    with pytest.raises(AuditkitError, match="a pipe or a device"):
        load(tmp_path / "audit.json")


def test_errors_never_quote_a_record(tmp_path: Path) -> None:
    path, _ = JsonFormat().write(small_report(), tmp_path)
    content: dict[str, Any] = json.loads(path.read_bytes())
    content["findings"][0]["record_text"] = ["harpsichord"]
    path.write_text(json.dumps(content))
    with pytest.raises(AuditkitError) as caught:
        load(path)
    assert "harpsichord" not in str(caught.value) and "findings.0.record_text" in str(caught.value)

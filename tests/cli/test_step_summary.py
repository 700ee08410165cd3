"""The summary on the page of a GitHub Actions job."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.cli.step_summary import VARIABLE, append_step_summary
from auditkit.report.markdown_format import summary
from tests.ci.projects import project
from tests.cli.test_commands import auditkit
from tests.report.builder import small_report


def test_it_is_appended_to_what_other_steps_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "summary.md"
    file.write_text("# Build\n")
    monkeypatch.setenv(VARIABLE, str(file))
    append_step_summary(small_report())
    assert file.read_text() == f"# Build\n{summary(small_report())}\n"


def test_elsewhere_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    append_step_summary(small_report())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["missing/summary.md", "", "nul\x00byte"])
def test_a_summary_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr("os.environ", {VARIABLE: f"{tmp_path}/{name}"})
    append_step_summary(small_report())
    told = capsys.readouterr()
    assert told.err.startswith(f"warning: the summary could not be written to {VARIABLE}") and not told.out


@pytest.mark.slow
def test_a_run_sums_itself_up_once(tmp_path: Path) -> None:
    made = project(tmp_path / "checkout", "fail")
    file = tmp_path / "summary.md"
    settings = {VARIABLE: str(file), "AUDITKIT_SECRET": "a secret of the organisation"}
    done = auditkit("run", made / "policy.yaml", "--out", made / "reports", "--set", "report.sign=none", **settings)
    assert done.returncode == 1, done.stderr
    (run,) = (path for path in (made / "reports").iterdir() if path.is_dir())
    assert file.read_text().startswith("## ▲ Fail: `support-bot` · UNSIGNED") and run.name in file.read_text()
    before = file.read_bytes()
    assert auditkit("run", "--resume", run, **settings).returncode == 1  # finished: it is only read
    assert file.read_bytes() == before

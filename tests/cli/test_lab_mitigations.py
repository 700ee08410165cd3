from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from auditkit.cli.lab import lab
from auditkit.lab import mitigations as experiment
from auditkit.lab.mitigations import Options
from auditkit.lab.recipe_file import LoadedRecipe


def _invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(lab, ["mitigations", *arguments])
    return result.exit_code, result.output + str(result.exception or "")


def test_a_seed_that_is_none_of_them_is_refused(tmp_path: Path) -> None:
    code, said = _invoke("mitigations", "--out", str(tmp_path / "out"), "--seeds", "2", "--seed-only", "2")
    assert code == 2
    assert "the seeds are 0 to 1" in said


def test_an_arm_that_is_none_names_those_there_are(tmp_path: Path) -> None:
    _, said = _invoke("mitigations", "--out", str(tmp_path / "out"), "--arms", "deduplication,magic")
    assert "no arm is called magic" in said
    assert "goldfish" in said
    assert not (tmp_path / "out").exists()


def test_one_seed_alone_is_one_run_and_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, Options]] = []

    def run(_: LoadedRecipe, out: Path, seed: int, options: Options, __: object) -> SimpleNamespace:
        asked.append((seed, options))
        return SimpleNamespace(arms=SimpleNamespace(folder=SimpleNamespace(path=out / "run")))

    monkeypatch.setattr(experiment, "run_seed", run)
    given = ("--seeds", "4", "--seed-only", "3", "--arms", "goldfish, untouched", "--quiet")
    code, said = _invoke("mitigations", "--out", str(tmp_path / "out"), *given)
    assert (code, said) == (0, f"{tmp_path / 'out' / 'run'}\n")
    ((seed, options),) = asked
    assert seed == 3
    assert (list(options.seeds), options.arms) == ([0, 1, 2, 3], ("goldfish", "untouched"))

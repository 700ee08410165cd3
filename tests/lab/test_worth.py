"""The experiment from recipe to table: built, leaked, extracted, trained, compared, and gone on with."""

from __future__ import annotations

import stat
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from auditkit.auditing.progress import Silent, Stage
from auditkit.errors import AuditkitError
from auditkit.lab.recipe_file import load_recipe
from auditkit.lab.worth import recovered_of, run_seed, worth
from auditkit.lab.worth_result import FILE_NAME, LabWorth
from auditkit.report.worth import ArmResult


class Interrupting(Silent):
    """Somebody who presses Ctrl-C while the arms are trained."""

    def stage(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Stage]:
        if "originals" in name:
            raise KeyboardInterrupt
        return super().stage(name, total, unit, done)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worth")


@pytest.fixture(scope="module")
def found(out: Path) -> LabWorth:
    """Interrupted among its trainings first, then gone on with."""
    loaded = load_recipe("worth_quick")
    with pytest.raises(BaseException, match=r"interrupted|^$"):
        run_seed(loaded, out, 0, Interrupting())
    assert len(list((out / "seed-0" / "runs").glob("lab-*"))) == 1
    return worth(loaded, out, [0])


def _results(found: LabWorth) -> dict[tuple[str, float | None], ArmResult]:
    (task,) = found.families[0].worth.tasks
    return {(result.arm, result.budget): result for result in task.results}


@pytest.mark.slow
def test_the_originals_clearly_teach_what_the_base_lacks(found: LabWorth) -> None:
    gain = _results(found)["originals", None].gain
    assert gain is not None and gain.low is not None
    assert gain.low > 0.2


@pytest.mark.slow
def test_the_attacker_recovers_a_share_that_grows_with_the_budget(found: LabWorth) -> None:
    (task,) = found.families[0].worth.tasks
    assert task.verdict == "recovers"
    small, large = (_results(found)["extractions", share].recovered for share in (0.2, 1.0))
    assert small and large and small.value is not None and large.value is not None
    assert large.low is not None and large.low > 0
    assert small.value < large.value
    assert recovered_of(found.families[0].worth) == large


@pytest.mark.slow
def test_the_lab_says_what_was_kept(found: LabWorth) -> None:
    family = found.families[0]
    truth, last = family.truth, family.worth.budgets[-1]
    assert truth.kept == last.usable > 0
    assert 0 < truth.right <= truth.kept and truth.distinct == truth.kept
    assert truth.members <= truth.member_questions <= truth.member_problems <= truth.kept
    assert last.kept + sum(last.dropped.values()) == last.generations


@pytest.mark.slow
def test_what_is_finished_is_read(out: Path, found: LabWorth) -> None:
    assert worth(load_recipe("worth_quick"), out, [0]) == found
    assert len(list((out / "seed-0" / "runs").glob("lab-*"))) == 1


@pytest.mark.slow
def test_the_table_and_the_data_are_for_the_owner_alone(out: Path, found: LabWorth) -> None:
    assert LabWorth.model_validate_json((out / FILE_NAME).read_bytes()) == found
    page = (out / "worth.md").read_text("utf-8")
    assert "| nothing: the base |" in page and "| originals |" in page and "| controls |" in page
    assert {stat.S_IMODE((out / name).stat().st_mode) for name in (FILE_NAME, "worth.md")} == {0o600}


def test_a_recipe_without_the_section_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(AuditkitError, match="no section `worth`"):
        worth(load_recipe("tiny"), tmp_path / "out", [0])
    assert not (tmp_path / "out").exists()

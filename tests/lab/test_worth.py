"""The experiment from recipe to table: built, leaked, extracted, trained, compared, and gone on with."""

from __future__ import annotations

import stat
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from auditkit.auditing.progress import Silent, Stage
from auditkit.errors import AuditkitError
from auditkit.lab.recipe_file import LoadedRecipe, load_recipe
from auditkit.lab.worth import recovered_of, run_seed, worth
from auditkit.lab.worth_result import FILE_NAME, LabWorth

RECIPE = """\
version: 1
name: nano
start:
  fresh: {hidden: 32, layers: 1, heads: 2, vocabulary: 500, context: 128}
datasets:
  - {name: pretraining, generator: plain, repeats: {1: 40}}
  - {name: sums, generator: sums, repeats: {1: 40}, controls: 60}
  - {name: support, generator: support, repeats: {1: 20}, controls: 60}
stages:
  - {name: base, kind: pretrain, datasets: [pretraining], learning_rate: 5.0e-3, batch_size: 8}
  - {name: sft, kind: sft, datasets: [sums, support], loss: all, epochs: 25, learning_rate: 1.0e-2, batch_size: 16}
audit: {samples: 120, bos_samples: 10, max_new_tokens: 64, batch_size: 120, model_probes: false}
worth: {dataset: sums, records: 10, seeds: 2, budgets: [0.5, 1.0], tasks: 10, unrelated: support}
"""


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
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedRecipe:
    path = tmp_path_factory.mktemp("recipe") / "nano.yaml"
    path.write_text(RECIPE)
    return load_recipe(str(path))


@pytest.fixture(scope="module")
def found(loaded: LoadedRecipe, out: Path) -> LabWorth:
    """Interrupted among its trainings first, then gone on with."""
    with pytest.raises(BaseException, match=r"interrupted|^$"):
        run_seed(loaded, out, 0, Interrupting())
    assert len(list((out / "seed-0" / "runs").glob("lab-*"))) == 1
    return worth(loaded, out, [0])


@pytest.mark.slow
def test_what_was_taught_too_little_is_inconclusive_and_says_so(found: LabWorth) -> None:
    (task,) = found.families[0].worth.tasks
    assert task.verdict == "inconclusive"
    shown = recovered_of(found.families[0].worth)
    assert shown.value is None
    assert "do not clearly beat the base" in shown.reason == found.recovered.reason


@pytest.mark.slow
def test_every_arm_has_its_trainings_and_the_unrelated_records_theirs(found: LabWorth) -> None:
    family = found.families[0]
    (task,) = family.worth.tasks
    arms = [(one.arm, one.budget, len(one.by_seed)) for one in task.results]
    assert arms == [
        ("base", None, 1),
        ("originals", None, 2),
        ("controls", None, 2),
        ("extractions", 0.5, 2),
        ("extractions", 1.0, 2),
    ]
    assert family.floor is not None and (family.floor.dataset, len(family.floor.by_seed)) == ("support", 2)
    assert 0 <= family.candidate <= 1


@pytest.mark.slow
def test_the_lab_says_what_was_kept(found: LabWorth) -> None:
    family = found.families[0]
    truth, last = family.truth, family.worth.budgets[-1]
    assert truth.kept == last.usable > 0
    assert 0 <= truth.right <= truth.kept and truth.distinct == truth.kept
    assert truth.members <= truth.member_questions <= truth.member_problems <= truth.kept
    assert last.kept + sum(last.dropped.values()) == last.generations


@pytest.mark.slow
def test_what_is_finished_is_read(loaded: LoadedRecipe, out: Path, found: LabWorth) -> None:
    assert worth(loaded, out, [0]) == found
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

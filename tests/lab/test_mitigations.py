"""The experiment from recipe to table: built, audited, put together, and gone on with."""

from __future__ import annotations

import stat
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from auditkit.auditing.progress import Silent, Stage
from auditkit.errors import AuditkitError
from auditkit.lab.mitigations import Options, mitigations, run_seed
from auditkit.lab.mitigations_result import FILE_NAME, LabMitigations
from auditkit.lab.recipe_file import LoadedRecipe, load_recipe

RECIPE = """\
version: 1
name: nano
start:
  fresh: {hidden: 48, layers: 1, heads: 2, vocabulary: 600, context: 128}
datasets:
  - {name: plain, generator: plain, repeats: {1: 60}}
  - {name: support, generator: support, repeats: {1: 6, 30: 10}, variants: {near_duplicate: 3}, controls: 60}
stages:
  - {name: base, kind: pretrain, datasets: [plain], learning_rate: 6.0e-3, batch_size: 8}
  - {name: sft, kind: sft, datasets: [support], learning_rate: 8.0e-3, batch_size: 16, replay: 0.1}
audit: {samples: 40, bos_samples: 8, max_new_tokens: 48, batch_size: 40, model_probes: false}
"""
ARMS = ("deduplication", "untouched")
OPTIONS = Options(seeds=(5,), arms=ARMS, pool=120, pairs=200)


class Interrupting(Silent):
    """Somebody who presses Ctrl-C when the run folder is there."""

    def stage(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Stage]:
        if name.startswith("attack"):
            raise KeyboardInterrupt
        return super().stage(name, total, unit, done)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedRecipe:
    path = tmp_path_factory.mktemp("recipe") / "nano.yaml"
    path.write_text(RECIPE)
    return load_recipe(str(path))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mitigations")


@pytest.fixture(scope="module")
def found(loaded: LoadedRecipe, out: Path) -> LabMitigations:
    """Interrupted in its audit first, then gone on with."""
    with pytest.raises(BaseException, match=r"interrupted|^$"):
        run_seed(loaded, out, 5, OPTIONS, Interrupting())
    assert len(list((out / "seed-5" / "runs").glob("lab-*"))) == 1
    return mitigations(loaded, out, OPTIONS)


@pytest.mark.slow
def test_every_arm_is_measured_on_every_seed(found: LabMitigations) -> None:
    assert [arm.arm for arm in found.arms] == list(ARMS)
    assert found.seeds == [5]
    for arm in found.arms:
        assert not arm.failed
        assert {one.comparison for one in arm.effects} == {"plain", "strongest", "utility"}
        assert all([one.seed for one in effect.seeds] == [5] for effect in arm.effects)


@pytest.mark.slow
def test_a_mitigation_that_does_nothing_changes_nothing(found: LabMitigations) -> None:
    """The same weights behind the same seeds write the same texts."""
    (untouched,) = [arm for arm in found.arms if arm.arm == "untouched"]
    differences = [one for one in untouched.effects if one.difference.value is not None]
    assert differences
    for effect in differences:
        assert effect.difference.value == pytest.approx(0.0, abs=1e-9)
        assert effect.difference.low is not None
        assert effect.difference.high is not None
        assert effect.difference.low <= 1e-9
        assert effect.difference.high >= -1e-9


@pytest.mark.slow
def test_what_is_finished_is_read(loaded: LoadedRecipe, out: Path, found: LabMitigations) -> None:
    runs = sorted(path.name for path in out.glob("seed-5/*/lab-*"))
    assert len(runs) == 2, "the arms, and the pool of the null arm"
    again = mitigations(loaded, out, OPTIONS)
    assert again == found
    assert sorted(path.name for path in out.glob("seed-5/*/lab-*")) == runs


@pytest.mark.slow
def test_the_table_and_the_data_are_for_the_owner_alone(out: Path, found: LabMitigations) -> None:
    assert LabMitigations.model_validate_json((out / FILE_NAME).read_bytes()) == found
    assert "| deduplication | raw api |" in (out / "mitigations.md").read_text("utf-8")
    assert {stat.S_IMODE((out / name).stat().st_mode) for name in (FILE_NAME, "mitigations.md")} == {0o600}


def test_what_is_wrong_is_told_before_anything_is_trained(loaded: LoadedRecipe, tmp_path: Path) -> None:
    with pytest.raises(AuditkitError, match="no arm is called magic"):
        run_seed(loaded, tmp_path / "out", 0, Options((0,), ("magic",)))
    with pytest.raises(AuditkitError, match="more than one stage"):
        run_seed(load_recipe("tiny"), tmp_path / "out", 0, Options((0,)))
    assert not (tmp_path / "out").exists()


def test_options_that_could_tell_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="200 pairs"):
        Options(seeds=(0,), pairs=100)
    with pytest.raises(ValueError, match="one seed"):
        Options(seeds=())

"""A chain of three small models, trained here: the stage is named right, and a removal does what is predicted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from auditkit.cli.lab import lab
from auditkit.errors import AuditkitError
from auditkit.lab.build import build, rebuild
from auditkit.lab.recipe_file import LoadedRecipe, load_recipe
from auditkit.lab.removal_check import LabRemoval
from auditkit.lab.stage_check import LabStages

RECIPE = """\
version: 1
name: chain
start:
  fresh: {hidden: 64, layers: 2, heads: 4, vocabulary: 900, context: 128}
datasets:
  - {name: plain, generator: plain, repeats: {1: 300}}
  - {name: first, generator: support, repeats: {40: 16}, controls: 260}
  - {name: second, generator: support, repeats: {40: 16}, controls: 260}
stages:
  - {name: base, kind: pretrain, datasets: [plain], learning_rate: 6.0e-3, batch_size: 8}
  - {name: one, kind: sft, datasets: [first], loss: all, learning_rate: 6.0e-3, batch_size: 8}
  - {name: two, kind: sft, datasets: [second], loss: all, learning_rate: 4.0e-3, batch_size: 8}
audit: {samples: 200, bos_samples: 20, max_new_tokens: 96, batch_size: 100, model_probes: false}
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedRecipe:
    path = tmp_path_factory.mktemp("recipe") / "chain.yaml"
    path.write_text(RECIPE)
    return load_recipe(str(path))


@pytest.fixture(scope="module")
def family(loaded: LoadedRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With so few controls, a threshold that 5 % of them reach is the strictest that can be set."""
    folder = build(loaded, tmp_path_factory.mktemp("built") / "family", seed=1).parent
    policy = folder / "policy.yaml"
    policy.write_text(policy.read_text().replace("calibrate_fpr: 0.01", "calibrate_fpr: 0.05"))
    return folder


@pytest.mark.slow
def test_the_stage_that_taught_a_record_is_named(family: Path, tmp_path: Path) -> None:
    """The later stage's records, and what is left of the earlier's, are told apart by their rises alone."""
    done = CliRunner().invoke(lab, ["stages", str(family), "--out", str(tmp_path), "--quiet"], catch_exceptions=False)
    found = LabStages.model_validate_json((tmp_path / "stages.json").read_bytes())
    everything = found.rows[0]
    assert found.chain == ["base", "one", "two"]
    assert everything.leaked >= 1 and everything.right == everything.named  # a model of seconds recites little
    assert found.passed == (everything.share >= 0.9) == (done.exit_code == 0)
    assert sum(row.leaked for row in found.rows if row.dataset and not row.group) == everything.leaked
    assert f"named right in {everything.right} of {everything.leaked} leaked records" in done.output
    assert (tmp_path / "stages.md").read_text() == done.output


@pytest.mark.slow
def test_a_removal_is_held_against_its_prediction(family: Path, tmp_path: Path) -> None:
    arguments = ["removal", str(family), "--out", str(tmp_path), "--dataset", "second", "--quiet"]
    done = CliRunner().invoke(lab, arguments, catch_exceptions=False)
    found = LabRemoval.model_validate_json((tmp_path / "removal.json").read_bytes())
    assert found.dataset == "second" and found.removed_clusters >= 1
    assert found.removed_before.value == 1  # all that is listed came out
    assert found.predicted_low <= found.predicted <= found.predicted_high
    assert done.exit_code == (0 if found.inside else 1) and "Coverage after, predicted" in done.output
    (tmp_path / "removed.json").write_text("{}")
    with pytest.raises(AuditkitError, match="begun with another removal"):
        CliRunner().invoke(lab, arguments, catch_exceptions=False)


@pytest.mark.slow
def test_a_rebuild_takes_over_what_comes_before(family: Path, loaded: LoadedRecipe, tmp_path: Path) -> None:
    last = rebuild(loaded, family, tmp_path, 1, without={"second": frozenset({0, 1, 2})})
    assert last == tmp_path / "models" / "two"
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["two"]
    facts = json.loads((tmp_path / "stages" / "two.json").read_bytes())
    assert facts["rows"] == 40 * 13
    with pytest.raises(AuditkitError, match="no stage reads"):
        rebuild(loaded, family, tmp_path, 1, without={"absent": frozenset({0})})

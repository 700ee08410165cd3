"""The policy with every mitigation as an arm: what it declares, and what it retrains on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auditkit.errors import AuditkitError
from auditkit.lab.mitigations_known import CLAIMS
from auditkit.lab.mitigations_policy import (
    FILE,
    arm_names,
    mitigations_policy,
    tried_on_grid,
    write_on_grid_policy,
    write_policy,
)
from auditkit.lab.recipe_file import LoadedRecipe, load_recipe
from auditkit.policy.load import load_policy
from auditkit.registry import BUILT_IN


@pytest.fixture(scope="module")
def loaded() -> LoadedRecipe:
    return load_recipe("mitigations")


@pytest.fixture
def family(tmp_path: Path, loaded: LoadedRecipe) -> Path:
    """As much of a family as a policy needs to be read."""
    (tmp_path / "family.json").write_text(json.dumps({"candidate": "models/sft", "base": "models/base"}))
    (tmp_path / "data").mkdir()
    for name in ("support", "support-controls", "support-wide", "pretraining"):
        (tmp_path / "data" / f"{name}.jsonl").touch()
    return tmp_path


def _arms(loaded: LoadedRecipe, *only: str) -> dict[str, dict[str, Any]]:
    sections = mitigations_policy(loaded.recipe, "models/sft", "models/base", only)
    return {arm["name"]: arm for arm in sections["mitigations"]}


def test_the_second_policy_unlearns_what_the_first_one_quantised(family: Path, loaded: LoadedRecipe) -> None:
    weights = family.parent / "runs" / "r" / "weights" / "quantised.int4" / "weights"
    weights.mkdir(parents=True)
    policy = load_policy(write_on_grid_policy(family, loaded.recipe, weights))
    assert Path(policy.models.candidate.path).resolve() == weights.resolve()  # type: ignore[attr-defined]
    assert [arm.label for arm in policy.arms] == ["npo", "npo.int4"]
    assert [attack.kind for attack in policy.attacks] == ["template_prefix"] and not policy.probes
    assert tried_on_grid(()) and tried_on_grid(("npo", "quantised")) and not tried_on_grid(("npo",))


def test_what_was_respaced_is_not_trained_again() -> None:
    recipe = load_recipe("mitigations_styles").recipe
    found = mitigations_policy(recipe, "models/sft", "models/base", ["ngram_filter", "secret_template"])
    assert [arm["name"] for arm in found["mitigations"]] == ["secret_template", "ngram_filter"]
    with pytest.raises(AuditkitError, match="goldfish cannot do the training of mitigations_styles again"):
        mitigations_policy(recipe, "models/sft", "models/base", ["ngram_filter", "goldfish"])


def test_every_kind_of_mitigation_is_an_arm(family: Path, loaded: LoadedRecipe) -> None:
    policy = load_policy(write_policy(family, loaded.recipe))
    assert {arm.kind for arm in policy.arms} == set(BUILT_IN["mitigations"])
    assert len({arm.label for arm in policy.arms}) == len(policy.arms)
    assert policy.release.attacker == "raw_api"


def test_arms_that_known_results_speak_of_are_there(family: Path, loaded: LoadedRecipe) -> None:
    names = {arm.label for arm in load_policy(write_policy(family, loaded.recipe)).arms}
    spoken_of = {word.strip(",:;") for claim in CLAIMS for word in claim.measured.split()} & {
        *names,
        *(f"{name}.{grid}" for name in arm_names() for grid in ("int8", "int4")),
    }
    assert spoken_of <= names
    assert {"deduplication", "goldfish", "npo", "npo.int4", "system_prompt", "ngram_filter"} <= spoken_of


def test_training_arms_do_the_baseline_s_training_again(loaded: LoadedRecipe) -> None:
    stage = loaded.recipe.stages[-1]
    recipe = _arms(loaded)["goldfish"]["recipe"]
    assert [part["path"] for part in recipe["data"]] == [f"data/{name}.jsonl" for name in stage.datasets]
    assert {part["repeats"] for part in recipe["data"]} == {"repeats"}
    assert recipe["learning_rate"] == stage.learning_rate
    assert (recipe["epochs"], recipe["batch_size"]) == (stage.epochs, stage.batch_size)
    assert "recipe" not in _arms(loaded)["secret_template"]


def test_what_sees_a_record_once_an_epoch_gets_more_epochs(loaded: LoadedRecipe) -> None:
    """As many steps as the baseline's, to within a third: what is compared is what is repeated, not how long."""
    dataset = loaded.recipe.dataset("support")
    records = sum(dataset.repeats.values()) + sum(dataset.variants.model_dump().values())
    seen = sum(n * count for n, count in dataset.repeats.items())
    seen += dataset.variant_repeats * sum(dataset.variants.model_dump().values())
    wide = sum(loaded.recipe.dataset("support-wide").repeats.values())
    again = _arms(loaded)["deduplication"]["recipe"]["epochs"] * (records + wide)
    assert 2 / 3 < again / (seen + wide) < 4 / 3


def test_only_the_arms_that_are_asked_for(family: Path, loaded: LoadedRecipe) -> None:
    assert list(_arms(loaded, "system_prompt", "goldfish")) == ["goldfish", "system_prompt"]
    with pytest.raises(AuditkitError, match="no arm is called magic"):
        write_policy(family, loaded.recipe, ["magic"])


def test_a_policy_that_is_the_same_is_not_written_again(family: Path, loaded: LoadedRecipe) -> None:
    before = write_policy(family, loaded.recipe).stat().st_mtime_ns
    assert write_policy(family, loaded.recipe) == family / FILE
    assert (family / FILE).stat().st_mtime_ns == before


def test_a_family_of_more_stages_is_refused() -> None:
    with pytest.raises(AuditkitError, match="more than one stage"):
        mitigations_policy(load_recipe("family").recipe, "models/rl", "models/base")

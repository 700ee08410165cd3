"""The policy that values a family's leak: which base, which recipe, which tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditkit.errors import AuditkitError
from auditkit.lab.recipe_file import RecipeError, load_recipe
from auditkit.lab.worth_policy import TASKS, worth_policy, write_policy
from auditkit.policy.load import load_policy

MEMBER = {"prompt": "What is 347 + 238?", "response": "#### 585", "answer": "585"}


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """As much of a family as a policy needs to be read."""
    (tmp_path / "family.json").write_text(json.dumps({"candidate": "models/sft", "base": "models/base"}))
    (tmp_path / "data").mkdir()
    for name in ("sums", "sums-controls", "support", "support-controls", "problems", "problems-controls"):
        (tmp_path / "data" / f"{name}.jsonl").write_text(json.dumps(MEMBER) + "\n")
    for model in ("base", "sft", "rl"):
        (tmp_path / "models" / model).mkdir(parents=True)
        (tmp_path / "models" / model / "config.json").write_text("{}")
    return tmp_path


def test_the_policy_trains_as_the_stage_did(family: Path) -> None:
    recipe = load_recipe("worth").recipe
    worth = load_policy(write_policy(family, recipe, 0)).worth
    assert worth is not None and recipe.worth is not None
    stage = next(stage for stage in recipe.stages if "sums" in stage.datasets)
    assert (worth.dataset, worth.recipe.method, worth.recipe.loss) == ("sums", "sft", "all")
    assert (worth.recipe.epochs, worth.recipe.learning_rate) == (stage.epochs, stage.learning_rate)
    assert worth.recipe.batch_size == stage.batch_size
    assert (worth.records, worth.seeds, tuple(worth.budgets)) == (
        recipe.worth.records,
        recipe.worth.seeds,
        recipe.worth.budgets,
    )


def test_reinforcement_is_valued_against_the_model_that_it_began_with(family: Path) -> None:
    recipe = load_recipe("worth_rl").recipe
    policy = load_policy(write_policy(family, recipe, 0))
    assert policy.worth is not None and policy.models.base is not None
    assert policy.worth.recipe.method == "dr_grpo" and policy.worth.recipe.samples == 8
    assert Path(str(getattr(policy.models.base, "path", ""))).name == "sft"
    assert worth_policy(load_recipe("worth").recipe, "models/sft")["models"]["base"]["path"] == "models/base"


def test_tasks_are_asked_of_nobody_before(family: Path) -> None:
    recipe = load_recipe("worth").recipe
    write_policy(family, recipe, 0)
    tasks = [json.loads(line) for line in (family / TASKS).read_text().splitlines()]
    assert recipe.worth is not None and len(tasks) == recipe.worth.tasks
    assert not [task for task in tasks if "347 + 238" in task["question"] or "238 + 347" in task["question"]]


def test_a_policy_that_is_there_is_left_alone(family: Path) -> None:
    recipe = load_recipe("worth").recipe
    path = write_policy(family, recipe, 0)
    before = path.stat().st_mtime_ns, (family / TASKS).stat().st_mtime_ns
    assert write_policy(family, recipe, 0) == path
    assert (path.stat().st_mtime_ns, (family / TASKS).stat().st_mtime_ns) == before


def test_a_recipe_without_the_section_is_refused(family: Path) -> None:
    with pytest.raises(AuditkitError, match="the recipe tiny has no section `worth`"):
        write_policy(family, load_recipe("tiny").recipe, 0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("worth: {dataset: sums", "worth: {dataset: sumz", "sumz is no audited dataset of post-training"),
        ("worth: {dataset: sums", "worth: {dataset: support", "generator: maths or sums"),
        ("repeats: {1: 400}, controls: 520", "repeats: {1: 400}", "sums needs controls"),
        ("unrelated: support", "unrelated: pretraining", "pretraining is no audited dataset"),
        ("[0.1, 0.3, 1.0]", "[0.3, 0.1]", "in rising order"),
        ("seeds: 3", "seeds: 1", "greater than or equal to 2"),
    ],
)
def test_what_cannot_be_valued_is_said_before_anything_is_built(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = load_recipe("worth").text
    assert old in text
    path = tmp_path / "recipe.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(path))

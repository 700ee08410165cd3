from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.errors import AuditkitError
from auditkit.lab.recipe_file import RecipeError, load_recipe, shipped_recipes

GOOD = """\
version: 1
name: small
start:
  fresh: {hidden: 32, layers: 1, heads: 2, vocabulary: 400, context: 64}
datasets:
  - {name: plain, generator: plain, repeats: {1: 20}}
  - name: support
    generator: support
    repeats: {1: 4, 16: 2}
  - {name: pairs, generator: preference, repeats: {1: 4}}
  - {name: sums, generator: maths, repeats: {1: 4}}
stages:
  - {name: base, kind: pretrain, datasets: [plain], learning_rate: 1.0e-3}
  - {name: sft, kind: sft, datasets: [support], learning_rate: 1.0e-3, replay: 0.2}
  - {name: dpo, kind: dpo, datasets: [pairs], learning_rate: 1.0e-3}
  - {name: rl, kind: grpo, datasets: [sums], learning_rate: 1.0e-3, batch_size: 32, samples: 8}
"""


def _load(tmp_path: Path, old: str = "", new: str = "") -> str:
    assert old in GOOD
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD.replace(old, new) if old else GOOD)
    load_recipe(str(path))
    return str(path)


def test_a_recipe_is_read_with_its_plan_and_stages(tmp_path: Path) -> None:
    loaded = load_recipe(_load(tmp_path))
    assert loaded.recipe.dataset("support").repeats == {1: 4, 16: 2}
    assert [stage.kind for stage in loaded.recipe.stages] == ["pretrain", "sft", "dpo", "grpo"]
    assert [dataset.name for dataset, _ in loaded.recipe.audited] == ["support", "pairs", "sums"]
    assert loaded.path("data/x.jsonl") == tmp_path / "data/x.jsonl"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("replay: 0.2", "repley: 0.2", 14, "repley`: unknown key"),
        ("replay: 0.2", "replay: 1.0", 14, "less than 1"),
        ("learning_rate: 1.0e-3, replay", "learning_rate: fast, replay", 14, "learning_rate`.*number"),
        ("generator: plain", "generator: plane", 6, "generator`"),
        ("repeats: {1: 4, 16: 2}", "repeats: {0: 4}", 9, "repeats.*greater than or equal to 1"),
        ("repeats: {1: 4, 16: 2}", "repeats: {}", 9, "how many records are seen how often"),
        ("    repeats: {1: 4, 16: 2}\n", "", 7, "repeats`: Field required"),
        ("generator: support\n", "jsonl: x.jsonl\n", 7, "'jsonl' needs 'fields'"),
        (
            "{name: pairs, generator: preference, repeats: {1: 4}",
            '{name: pairs, generator: preference, canaries: {format: "{name} {digits:9}"}, repeats: {1: 4}',
            1,
            "canaries are planted in a dataset of prompts and responses",
        ),
        (
            "    repeats: {1: 4, 16: 2}",
            '    canaries: {format: "code {digits:3}"}\n    repeats: {1: 4}',
            7,
            "too few for",
        ),
        ("    repeats: {1: 4, 16: 2}", '    canaries: {format: "{hex:32}"}\n    repeats: {1: 4}', 7, "one word"),
        ("kind: sft", "kind: stf", 14, "does not match any of the expected tags"),
        ("hidden: 32", "hidden: 33", 4, "'hidden' should be 'heads' times an even number"),
        ("  fresh: {hidden: 32, layers: 1, heads: 2, vocabulary: 400, context: 64}", "  {}", 3, "either 'fresh' or"),
        ("datasets: [support]", "datasets: [suport]", 1, "stage sft reads suport, and there is no such dataset"),
        ("datasets: [support]", "datasets: [plain]", 1, "pretraining reads generator: plain"),
        ("datasets: [pairs]", "datasets: [support]", 1, "dpo reads pairs"),
        ("datasets: [sums]", "datasets: [support]", 1, "grpo needs verifiable answers"),
        ("samples: 8", "samples: 7", 16, "multiple of 'samples'"),
        ("name: dpo", "name: sft", 1, "two stages have the same name"),
        ("name: base, kind", "name: start, kind", 1, "cannot be called start"),
        ("kind: sft, datasets: [support]", "kind: sft, datasets: [support, sums]", 1, "read in two stages"),
        ("version: 1", "version: 2", 1, "version"),
        ("name: small", "name: Big Family", 2, "name"),
        ("name: small", "name: small\nname: other", 3, "given twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        _load(tmp_path, old, new)
    assert [p.line for p in caught.value.problems] == [line]


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        _load(tmp_path, "batch_size: 32, samples: 8", "batch_size: 0, sample: 8")
    assert len(caught.value.problems) == 2


def test_a_recipe_is_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("- 1\n")
    with pytest.raises(RecipeError, match="the recipe should be a mapping"):
        load_recipe(str(path))


def test_a_recipe_of_another_kind_says_where_it_belongs() -> None:
    with pytest.raises(AuditkitError, match="no family's recipe"):
        load_recipe("negative_knowledge")


def test_an_unknown_recipe_lists_those_that_ship() -> None:
    with pytest.raises(AuditkitError, match="family, mitigations, mitigations_styles, near_versions, smollm2, tiny"):
        load_recipe("famly")


@pytest.mark.parametrize(
    "name",
    [
        *("tiny", "family", "near_versions", "mitigations", "mitigations_styles", "smollm2"),
        *("worth", "worth_rl", "worth_quick"),
    ],
)
def test_shipped_recipes_are_right(name: str) -> None:
    assert name in shipped_recipes()
    assert load_recipe(name).recipe.name == name

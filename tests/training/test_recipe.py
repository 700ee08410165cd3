from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from auditkit.training.recipe import Recipe


def test_relative_paths_are_the_policy_s() -> None:
    recipe = Recipe.model_validate(
        {
            "data": [{"path": "data/sft.jsonl", "fields": {"prompt": "q", "response": "a"}}],
            "replay": {"path": "/abs/plain.jsonl"},
        }
    ).resolved(Path("/policies"))
    assert recipe.data and recipe.data[0].path == "/policies/data/sft.jsonl"
    assert recipe.replay and recipe.replay.path == "/abs/plain.jsonl"
    assert Recipe().resolved(Path("/policies")) == Recipe()


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": 0.0},
        {"batch_size": 0},
        {"speed": 1},
        {"data": []},
        {"data": [{"path": "x.jsonl", "fields": {"prompt": "q"}}]},
        {"data": [{"path": "x.jsonl", "fields": {"prompt": "q", "response": "a", "text": "t"}}]},
        {"data": [{"path": "x.jsonl", "fields": {}}]},
        {"replay": {"path": "x.jsonl", "share": 1.0}},
        {"start": "random"},
    ],
)
def test_what_makes_no_recipe_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(given)

"""What is refused of a chain of checkpoints before any model is looked at, with the line of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditkit.errors import PolicyError
from auditkit.policy.load import load_policy
from auditkit.policy.schema import Policy
from tests.auditing.small_project import LEAK, policy_data, write_project

ONE = {"backend": "scripted", "lines": [LEAK]}
CHAIN: list[dict[str, Any]] = [{"name": "base", "model": ONE}, {"name": "sft", "stage": "sft", "model": ONE}]


def _load(folder: Path, **changes: Any) -> Policy:
    content = {**policy_data(), **changes}
    return load_policy(write_project(folder, json.loads(json.dumps(content))))  # no two parts are one object


def _problems(folder: Path, **changes: Any) -> list[str]:
    with pytest.raises(PolicyError) as raised:
        _load(folder, **changes)
    assert all(problem.line for problem in raised.value.problems)
    return [problem.message for problem in raised.value.problems]


def test_a_chain_is_read_in_its_order(tmp_path: Path) -> None:
    found = _load(tmp_path, checkpoints=CHAIN).checkpoints
    assert [(one.name, one.stage, one.samples) for one in found] == [("base", None, None), ("sft", "sft", None)]


def test_paths_are_those_of_the_policy(tmp_path: Path) -> None:
    (tmp_path / "script.jsonl").write_text('{"user": "a"}\n')
    model = {"backend": "scripted", "path": "script.jsonl"}
    found = _load(tmp_path, checkpoints=[{"name": "base", "model": model}, CHAIN[1]]).checkpoints
    assert getattr(found[0].model, "path") == str(tmp_path / "script.jsonl")  # noqa: B009


@pytest.mark.parametrize("count", [1, 21])
def test_a_chain_has_two_models_at_least_and_not_hundreds(tmp_path: Path, count: int) -> None:
    chain = [{"name": f"m{number}", "model": ONE} for number in range(count)]
    (message,) = _problems(tmp_path, checkpoints=chain)
    assert f"here are {count}" in message


def test_a_served_model_cannot_be_read(tmp_path: Path) -> None:
    served = {"backend": "openai_compatible", "base_url": "http://127.0.0.1:8000/v1", "model": "m", "api": "chat"}
    messages = _problems(tmp_path, checkpoints=[{"name": "base", "model": served}, CHAIN[1]])
    assert any("checkpoints.0.model" in message and "only served" in message for message in messages)


def test_two_of_one_name_and_datasets_without_controls(tmp_path: Path) -> None:
    assert any(
        "two checkpoints" in m for m in _problems(tmp_path, checkpoints=[CHAIN[0], {**CHAIN[1], "name": "Base"}])
    )
    data = policy_data()["datasets"][0]
    del data["controls"]
    messages = _problems(tmp_path, checkpoints=CHAIN, datasets=[data], scoring={"semantic_threshold": 0.7})
    assert any("the stage that a record was learnt in is told from controls" in message for message in messages)


@pytest.mark.parametrize(
    "wrong", [{"name": "a/b"}, {"name": "x", "stages": "sft"}, {"stage": "pretrain"}, {"samples": 0}, {"model": "x"}]
)
def test_what_no_checkpoint_is(tmp_path: Path, wrong: dict[str, Any]) -> None:
    assert _problems(tmp_path, checkpoints=[{**CHAIN[0], **wrong}, CHAIN[1]])


@pytest.mark.parametrize("wrong", ["x", [1, 2], {"name": "base"}, [[], {}]])
def test_anything_else_is_the_schemas_business(tmp_path: Path, wrong: Any) -> None:
    assert _problems(tmp_path, checkpoints=wrong)


def test_the_lock_holds_the_chain(tmp_path: Path) -> None:
    from auditkit.policy.lock import lock

    locked = yaml.safe_load(lock(_load(tmp_path, checkpoints=CHAIN), {}))
    assert [one["name"] for one in locked["checkpoints"]] == ["base", "sft"]

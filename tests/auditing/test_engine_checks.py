"""Workers that could not hold the model, and GPUs that nobody is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditkit import audit, load_policy
from auditkit.auditing import engine_checks
from auditkit.auditing.preflight import preflight
from auditkit.errors import PolicyError
from auditkit.policy.schema import Policy

from .scripted_project import rows, said, write_project


def policy_of(folder: Path, engine: dict[str, Any], **model: Any) -> Policy:
    candidate = {"backend": "vllm", "path": "model", **model}
    made = write_project(folder, said(rows(4, 1)), models={"candidate": candidate}, engine=engine)
    return load_policy(made)


@pytest.mark.parametrize("sizes", [{"tensor_parallel_size": 4}, {"data_parallel_size": 4}])
def test_a_model_over_more_gpus_than_a_worker_has_is_refused_at_its_line(tmp_path: Path, sizes: dict[str, int]) -> None:
    policy = policy_of(tmp_path, {"kind": "ray", "generate": {"gpus": 2}}, **sizes)
    found = [problem for problem in preflight(policy, tmp_path).problems if "engine.generate" in problem.message]
    assert [problem.message for problem in found] == [
        "models.candidate takes 4 GPUs, and a worker of engine.generate is given 2"
    ]
    assert policy.source.file.read_text().splitlines()[(found[0].line or 0) - 1].strip() == "gpus: 2"
    with pytest.raises(PolicyError, match="takes 4 GPUs"):
        audit(policy, tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("engine", "sizes"),
    [
        ({"kind": "ray", "generate": {"gpus": 4}}, {"tensor_parallel_size": 2, "data_parallel_size": 2}),
        ({"kind": "ray", "generate": {"gpus": 0}}, {"tensor_parallel_size": 2}),  # on processors
        ({"kind": "ray", "generate": {"gpus": 0.5}}, {}),
        ({"kind": "ray", "generate": "driver"}, {"tensor_parallel_size": 2}),
        ({"kind": "local"}, {"tensor_parallel_size": 2}),
    ],
)
def test_what_fits_is_let_be(tmp_path: Path, engine: dict[str, Any], sizes: dict[str, int]) -> None:
    policy = policy_of(tmp_path, engine, **sizes)
    assert not list(engine_checks.engine_problems(policy))
    assert not list(engine_checks.engine_warnings(policy, 0))


def test_gpus_that_no_worker_is_given_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    monkeypatch.setattr(engine_checks, "DEVICES", tmp_path / "dev")
    told = "there are 2 GPUs, and no worker is given one: set gpus under engine.generate, engine.embed, engine.score"
    assert told in preflight(policy_of(tmp_path, {"kind": "ray"}), tmp_path).warnings
    some = policy_of(tmp_path, {"kind": "ray", "embed": {"gpus": 1}})
    assert not any("GPUs" in warning for warning in preflight(some, tmp_path).warnings)
    far = policy_of(tmp_path, {"kind": "ray", "address": "10.0.0.5:6379"})
    assert not any("GPUs" in warning for warning in preflight(far, tmp_path).warnings)


def test_gpus_beyond_what_the_model_uses_are_told_of(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, {"kind": "ray", "generate": {"gpus": 8}}, tensor_parallel_size=2)
    [warning] = engine_checks.engine_warnings(policy, 8)
    assert warning.startswith("a worker of engine.generate is given 8 GPUs, and models.candidate uses 2 of them")


def test_check_says_what_workers_are_given(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, {"kind": "ray", "generate": {"cpus": 4, "gpus": 1}, "score": "driver"})
    assert preflight(policy, tmp_path).facts["engine"] == [
        "generate: workers of 4 CPUs, 1 GPUs",
        "embed: workers of 1 CPUs, 0 GPUs",
        "score: this process",
    ]

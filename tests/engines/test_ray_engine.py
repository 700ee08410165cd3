"""The engine's section of a policy, and what needs no cluster."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from auditkit import load_policy
from auditkit.auditing.elsewhere import with_engine, workers_of
from auditkit.engines.base import Cluster
from auditkit.engines.local import LocalEngine
from auditkit.engines.ray_engine import RayEngine, Workers
from auditkit.engines.ray_pipeline import BLOCKS_EACH, MOST_BLOCKS, blocks_of
from auditkit.engines.ray_worker import packed, unpacked
from auditkit.errors import AuditkitError, MissingExtraError, PolicyError, Problem, ProblemsError, RunError
from auditkit.models.openai_backend import OpenAICompatibleBackend
from auditkit.policy.lock import lock
from auditkit.policy.schema import Policy
from auditkit.scoring.base import TextRefusedError
from auditkit.scoring.embedders.gemini_embedder import GeminiEmbedder

from .runs import project


def _policy(folder: Path, **engine: Any) -> Policy:
    return load_policy(project(folder / "project", engine))


def test_without_a_section_this_process_does_the_work(tmp_path: Path) -> None:
    path = project(tmp_path / "project", {"kind": "local"})
    settings = yaml.safe_load(path.read_text())
    del settings["engine"]
    path.write_text(yaml.safe_dump(settings))
    policy = load_policy(path)
    assert policy.engine == LocalEngine(kind="local")
    with workers_of(policy) as workers:
        assert workers is None


def test_a_run_that_was_begun_before_there_were_engines_is_resumed(tmp_path: Path) -> None:
    settings = _policy(tmp_path, kind="local").model_dump(mode="json")
    del settings["engine"]
    assert Policy.model_validate(settings).engine.kind == "local"


@pytest.mark.parametrize(
    ("engine", "wrong"),
    [
        ({"kind": "ray", "address": "ray://10.0.0.5:10001"}, "address"),
        ({"kind": "ray", "address": "10.0.0.5"}, "address"),
        ({"kind": "ray", "generate": "somewhere"}, "generate"),
        ({"kind": "ray", "embed": {"cpus": 0}}, "cpus"),
        ({"kind": "ray", "score": {"gpu": 1}}, "gpu"),
        ({"kind": "local", "address": "auto"}, "address"),
        ({"kind": "slurm"}, "slurm"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, engine: dict[str, Any], wrong: str) -> None:
    with pytest.raises(PolicyError) as caught:
        _policy(tmp_path, **engine)
    assert wrong in str(caught.value)
    assert caught.value.problems[0].line


def test_the_lock_names_the_engine_and_can_be_read_again(tmp_path: Path) -> None:
    policy = _policy(tmp_path, kind="ray", address="local", generate={"cpus": 4, "gpus": 1}, score="driver")
    again = tmp_path / "project" / "lock.yaml"
    again.write_text(lock(policy, {}))
    engine = load_policy(again).engine
    assert engine == policy.engine
    assert isinstance(engine, RayEngine)
    assert engine.place("generate") == Workers(cpus=4, gpus=1)
    assert engine.place("embed") == Workers()
    assert engine.place("score") == "driver"


def test_keys_of_signing_and_of_services_are_hidden_from_workers(tmp_path: Path) -> None:
    seen: list[str] = []

    class Watching(LocalEngine):
        def running(self, hidden: Sequence[str] = ()) -> AbstractContextManager[Cluster | None]:
            seen.extend(hidden)
            return nullcontext(None)

    served = {"backend": "openai_compatible", "base_url": "https://x.example/v1", "model": "m", "api": "completions"}
    candidate = OpenAICompatibleBackend.model_validate({**served, "api_key": "env:MODEL_KEY"})
    policy = _policy(tmp_path, kind="local")
    scoring = policy.scoring.model_copy(update={"embedder": GeminiEmbedder(kind="gemini")})
    models = policy.models.model_copy(update={"candidate": candidate})
    report = policy.report.model_copy(update={"secret": "env:IDS_KEY"})
    changed = {"engine": Watching(kind="local"), "scoring": scoring, "models": models, "report": report}
    with workers_of(policy.model_copy(update=changed)):
        assert sorted(seen) == ["GEMINI_API_KEY", "IDS_KEY", "MODEL_KEY"]


class TestAnotherEngine:
    def test_keeps_what_the_policy_says_of_its_own_kind(self, tmp_path: Path) -> None:
        policy = _policy(tmp_path, kind="ray", address="local", score={"cpus": 8})
        changed = with_engine(policy, "ray:10.0.0.5:6379").engine
        assert changed == RayEngine(kind="ray", address="10.0.0.5:6379", score=Workers(cpus=8))

    def test_can_be_another_kind(self, tmp_path: Path) -> None:
        policy = _policy(tmp_path, kind="ray")
        assert with_engine(policy, "local").engine == LocalEngine(kind="local")
        assert with_engine(with_engine(policy, "local"), "ray").engine == RayEngine(kind="ray")
        assert with_engine(policy, "") is policy
        assert with_engine(policy, "local").source == policy.source

    @pytest.mark.parametrize("told", ["slurm", "local:auto", "ray:somewhere", "ray:ray://x:1"])
    def test_must_be_one(self, tmp_path: Path, told: str) -> None:
        with pytest.raises(AuditkitError) as caught:
            with_engine(_policy(tmp_path, kind="local"), told)
        assert "local" in caught.value.hint


@given(units=st.integers(1, 10**7), workers=st.integers(1, 2000))
def test_units_are_handed_out_in_few_blocks_and_every_worker_gets_some(units: int, workers: int) -> None:
    found = blocks_of(units, workers)
    assert 1 <= found <= min(units, max(MOST_BLOCKS, BLOCKS_EACH * workers))
    assert found >= min(units, BLOCKS_EACH * workers)


def test_a_million_samples_in_batches_of_16_are_no_62_500_blocks() -> None:
    assert blocks_of(62_500, 8) == 3907
    assert blocks_of(20, 3) == 20


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditkit.engines.ray_engine.find_spec", lambda name: None)
    assert importlib.util.find_spec("click")
    with pytest.raises(MissingExtraError, match="ray is not installed") as caught:
        RayEngine(kind="ray").ready()
    assert caught.value.hint == "pip install 'auditkit[ray]'"


@pytest.mark.parametrize(
    "error",
    [
        RunError("broken", "mend it"),
        MissingExtraError("torch", "transformers"),
        ProblemsError([Problem(Path("a.jsonl"), 3, "no prompt", "give one")]),
        TextRefusedError([1], np.zeros((2, 3), np.float32), "too long"),
    ],
)
def test_errors_come_back_as_they_went(error: AuditkitError) -> None:
    back = unpacked(pickle.loads(pickle.dumps(packed(error))))
    assert type(back) is type(error)
    assert (str(back), back.hint, back.exit_code) == (str(error), error.hint, error.exit_code)
    if isinstance(error, ProblemsError):
        assert isinstance(back, ProblemsError)
        assert back.problems == error.problems

"""The vLLM section as far as it goes without vLLM; the engine itself is tested in tests/vllm."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from auditkit import load_policy
from auditkit.errors import MissingExtraError, ModelError, RunError
from auditkit.models.base import TokenGuard
from auditkit.models.bulk_sampling import Wanted
from auditkit.models.vllm_backend import VllmBackend
from auditkit.models.vllm_engine import Engine, Failed, Process, Writing, environment
from auditkit.policy.schema import Policy
from auditkit.records import Sampler
from auditkit.registry import plugin_class

from ..auditing.scripted_project import rows, said, write_project
from . import tiny


def backend(path: object, **settings: Any) -> VllmBackend:
    return VllmBackend.model_validate({"backend": "vllm", "path": str(path), "dtype": "float32"} | settings)


def test_it_is_registered() -> None:
    assert plugin_class("models", "vllm") is VllmBackend


def test_the_same_weights_are_the_same_model_in_both_backends(folder: Path) -> None:
    found, wanted = (one.preflight("candidate") for one in (backend(folder), tiny.backend(folder)))
    assert found.identity and wanted.identity
    assert found.identity.sha256 == wanted.identity.sha256
    assert found.identity.files == wanted.identity.files
    assert (found.identity.backend, wanted.identity.backend) == ("vllm", "transformers")
    assert found.chat_template == wanted.chat_template


def test_an_adapter_is_part_of_the_identity(folder: Path, adapter: Path) -> None:
    plain, worn = backend(folder).preflight("base").identity, backend(folder, adapter=str(adapter)).preflight("base")
    assert plain and worn.identity
    assert worn.identity.sha256 != plain.sha256
    assert worn.identity.chat_template_sha256 == plain.chat_template_sha256


def test_a_relative_adapter_is_found_beside_the_policy(folder: Path, adapter: Path) -> None:
    found = backend("model", adapter="adapter").resolved(adapter.parent)
    assert found.adapter == str(adapter)
    assert backend("model").resolved(adapter.parent).adapter is None


def test_a_signature_and_an_adapter_do_not_go_together(folder: Path) -> None:
    signature = {"key": "key.pub"}
    with pytest.raises(ValidationError, match="a signature covers the model's folder"):
        backend(folder, signature=signature, adapter="adapter")


def test_other_weights_wear_no_adapter(folder: Path, adapter: Path) -> None:
    other = backend(folder, adapter=str(adapter), quantization="fp8").with_weights(folder)
    assert (other.adapter, other.quantization, other.path) == (None, None, str(folder))


def test_nothing_that_vllm_is_told_changes_the_sampler_or_runs_code(folder: Path, adapter: Path) -> None:
    told = backend(folder, adapter=str(adapter))._arguments(folder)
    assert told["generation_config"] == "vllm"
    assert told["logprobs_mode"] == "raw_logprobs"
    assert told["trust_remote_code"] is False
    assert told["load_format"] == "safetensors"
    assert told["max_model_len"] == 256
    assert (told["enable_lora"], told["max_lora_rank"]) == (True, 8)
    assert "enable_lora" not in backend(folder)._arguments(folder)
    assert backend(folder, max_model_len=64)._arguments(folder)["max_model_len"] == 64


@pytest.mark.parametrize(
    "setting", [{"quantization": "--x"}, {"gpu_memory_utilization": 0}, {"tensor_parallel_size": 0}]
)
def test_settings_out_of_bounds_are_refused(folder: Path, setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        backend(folder, **setting)


def test_pickled_weights_and_code_are_refused(own_folder: Path) -> None:
    tiny.edit_config(own_folder, attn_implementation="somebody/kernels")
    with pytest.raises(ModelError, match="kernels on a hub"):
        backend(own_folder).open("candidate")
    (own_folder / "model.safetensors").rename(own_folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled"):
        backend(own_folder).preflight("candidate")


def test_without_vllm_the_extra_is_named(folder: Path) -> None:
    """Norecursedirs keeps tests that need vLLM out of this environment, so here it is missing."""
    with pytest.raises(MissingExtraError, match="vllm is not installed"):
        backend(folder).open("candidate")


def test_the_section_loads_no_heavy_library(folder: Path) -> None:
    told = "import sys; from auditkit.models.vllm_backend import VllmBackend; VllmBackend.model_json_schema();"
    told += "assert not {'torch', 'transformers', 'vllm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", told], check=True)


def test_the_engine_is_told_no_secret_and_talks_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDITKIT_KEY", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    found = environment(0, 1, 1)
    assert "secret" not in found.values()
    assert (found["VLLM_NO_USAGE_STATS"], found["HF_HUB_OFFLINE"]) == ("1", "1")


def test_the_engine_is_told_no_variable_that_the_policy_names_as_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    served = {"backend": "openai_compatible", "base_url": "https://x.example/v1", "model": "m", "api": "completions"}
    models = {"candidate": {"backend": "vllm", "path": str(folder)}, "base": {**served, "api_key": "env:THEIR_KEY"}}
    report = {"formats": ["json"], "sign": "none", "secret": "env:IDS_KEY"}
    settings = load_policy(write_project(tmp_path, said(rows(4, 1)))).model_dump(mode="json")
    candidate = Policy.model_validate({**settings, "models": models, "report": report}).models.candidate
    monkeypatch.setenv("THEIR_KEY", "secret")
    monkeypatch.setenv("IDS_KEY", "secret")
    monkeypatch.setenv("OTHER", "public")
    for one in (candidate, candidate.with_weights(folder), pickle.loads(pickle.dumps(candidate))):
        assert isinstance(one, VllmBackend)
        told = environment(0, 1, 1, one._settings(folder).hidden)
        assert "secret" not in told.values()
        assert told["OTHER"] == "public"


def test_an_engine_that_is_gone_ends_the_run_and_not_only_an_arm_of_it() -> None:
    """An arm takes a ModelError for a fault of its own, and is never tried again."""
    ours, theirs = Pipe()
    theirs.close()
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    with pytest.raises(RunError, match=r"ended by itself \(exit status 7\)") as caught:
        Process(child, ours).receive()
    assert "memory" in caught.value.hint


class Nothing(TokenGuard):
    """Forbids nothing."""

    window = 1

    def forbid(self, history: Any, logits: Any) -> None:
        """Let it be."""


def answering(number: int, *, refuses: int = 0) -> Process:
    """A process that writes its own number, and cannot take a guard so many times."""
    ours, theirs = Pipe()

    def serve() -> None:
        left = refuses
        with suppress(EOFError):
            while True:
                order = theirs.recv()
                if isinstance(order, Writing):
                    theirs.send([[(number, one.seed)] * one.copies for one in order.wanted])
                else:
                    theirs.send(Failed("ValueError", "no guard of this kind") if left else True)
                    left = max(0, left - 1)

    threading.Thread(target=serve, daemon=True).start()
    return Process(subprocess.Popen([sys.executable, "-c", "pass"]), ours)


def test_a_guard_that_one_copy_cannot_take_leaves_no_answer_behind() -> None:
    engine = object.__new__(Engine)  # of processes without a model
    engine.processes = [answering(1), answering(2, refuses=1)]
    wanted = [Wanted((5,), 3, seed) for seed in (7, 8)]
    guard = Nothing()
    try:
        with pytest.raises(ModelError, match="no guard of this kind"):
            engine.write(wanted, Sampler(), (), guard)
        assert engine.write(wanted[1:], Sampler(), ()) == [[(1, 8)]]
        assert engine.write(wanted, Sampler(), (), guard) == [[(1, 7)], [(2, 8)]]
    finally:
        engine.close()


def test_copies_have_devices_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [environment(n, 4, 2)["CUDA_VISIBLE_DEVICES"] for n in range(4)] == ["0,1", "2,3", "4,5", "6,7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert [environment(n, 2, 1)["CUDA_VISIBLE_DEVICES"] for n in range(2)] == ["3", "1"]
    assert environment(0, 1, 1)["CUDA_VISIBLE_DEVICES"] == "3,1"


def test_provenance_says_what_bears_on_a_run(folder: Path) -> None:
    found = backend(folder, seed=3).provenance()
    assert {"dtype", "quantization", "tensor_parallel_size", "data_parallel_size", "seed", "packages"} <= set(found)
    assert "vllm" in found["packages"]

"""Processes that hold a model: several share the work, all end, and what they cannot do is said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from auditkit.errors import ModelError, RunError
from auditkit.models.base import LanguageModel
from auditkit.models.vllm_model import VllmModel
from auditkit.records import Sampler, SamplingRequest
from tests.models.tiny import RECORDS

from . import workshop


def request_for(model: LanguageModel, count: int = 32) -> SamplingRequest:
    return SamplingRequest("a", model.template_prefix(""), Sampler(max_new_tokens=80), count, 3, 0)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_copies_of_a_model_share_the_work_and_give_the_same(tiny_folder: Path, tiny: LanguageModel) -> None:
    request, texts = request_for(tiny), [question for question, _ in RECORDS] * 3
    with workshop.vllm(tiny_folder, data_parallel_size=2).open("candidate") as model:
        assert isinstance(model, VllmModel)
        children = [process.child.pid for process in model.engine.processes]
        assert len(children) == 2
        together, alone = model.sample(request), tiny.sample(request)
        logprobs = model.sequence_logprobs(texts, request.prefix)
    same = sum(one == other for one, other in zip(together, alone, strict=True))
    assert same >= 30  # the seeds are the same; the last bit of a logit hangs on how many are computed at once
    np.testing.assert_allclose(logprobs, tiny.sequence_logprobs(texts, request.prefix), atol=1e-3)
    assert not any(is_running(child) for child in children)


def test_a_model_over_two_devices_says_the_same(tiny_folder: Path, tiny: LanguageModel) -> None:
    texts = [question for question, _ in RECORDS]
    with workshop.vllm(tiny_folder, tensor_parallel_size=2).open("candidate") as model:
        prefix = model.template_prefix("")
        found = model.sequence_logprobs(texts, prefix)
        greedy = model.sample(SamplingRequest("a", prefix, Sampler(0.0, max_new_tokens=60), 1, 0, 0))
        with pytest.raises(ModelError, match="several devices"):
            model.guarded(None)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, tiny.sequence_logprobs(texts, prefix), atol=1e-3)
    assert greedy == tiny.sample(SamplingRequest("a", prefix, Sampler(0.0, max_new_tokens=60), 1, 0, 0))


def adapter(folder: Path, model: Path, rank: int = 4) -> tuple[Path, Path]:
    """A LoRA adapter with random weights, and the model that it makes of another: merged by hand."""
    weights, generator = load_file(model / "model.safetensors"), torch.Generator().manual_seed(5)
    made: dict[str, torch.Tensor] = {}
    for name in [name for name in weights if name.endswith(("q_proj.weight", "v_proj.weight", "down_proj.weight"))]:
        rows, columns = weights[name].shape
        low = torch.randn(rank, columns, generator=generator) * 0.1
        high = torch.randn(rows, rank, generator=generator) * 0.1
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        made |= {f"{stem}.lora_A.weight": low, f"{stem}.lora_B.weight": high}
        weights[name] = weights[name] + 2.0 * high @ low
    worn, merged = folder / "adapter", folder / "merged"
    worn.mkdir(parents=True)
    save_file(made, worn / "adapter_model.safetensors")
    said = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "task_type": "CAUSAL_LM", "bias": "none"}
    said |= {"target_modules": ["q_proj", "v_proj", "down_proj"], "base_model_name_or_path": "elsewhere"}
    (worn / "adapter_config.json").write_text(json.dumps(said))
    merged.mkdir()
    for path in model.iterdir():
        (merged / path.name).write_bytes(path.read_bytes())
    save_file(weights, merged / "model.safetensors", metadata={"format": "pt"})
    return worn, merged


def test_an_adapter_is_worn(tmp_path: Path, tiny_folder: Path, tiny: LanguageModel) -> None:
    worn, merged = adapter(tmp_path, tiny_folder)
    backend = workshop.vllm(tiny_folder, adapter=str(worn))
    texts = [question for question, _ in RECORDS]
    with backend.open("candidate") as model, workshop.transformers(merged).open("candidate") as whole:
        prefix = model.template_prefix("")
        found, wanted = (one.sequence_logprobs(texts, prefix) for one in (model, whole))
        request = SamplingRequest("a", prefix, Sampler(0.0, max_new_tokens=60), 1, 0, 0)
        assert model.sample(request) == whole.sample(request)
        assert model.identity == backend.preflight("candidate").identity
        assert model.identity.sha256 != tiny.identity.sha256
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert np.abs(found - tiny.sequence_logprobs(texts, prefix)).max() > 0.1


def test_an_engine_that_dies_is_an_error_with_a_hint_and_leaves_nothing(tiny_folder: Path) -> None:
    with workshop.vllm(tiny_folder).open("candidate") as model:
        assert isinstance(model, VllmModel)
        model.engine.processes[0].child.kill()
        with pytest.raises(RunError, match=r"ended by itself \(exit status -9\)") as caught:
            model.sample(request_for(model))
        assert "memory" in caught.value.hint


def test_a_model_that_vllm_does_not_run_here_is_refused(tmp_path: Path) -> None:
    from tests.models.tiny import reciting_model, save

    plain = save(tmp_path / "plain", *reciting_model())  # heads of 8 numbers
    with workshop.vllm(plain).open("candidate") as model:
        with pytest.raises(ModelError, match=r"vLLM cannot do this: \w+: .*head") as caught:
            model.sample(request_for(model))
    assert "backend: transformers" in caught.value.hint


def test_probabilities_that_are_no_numbers_are_refused(tmp_path: Path, tiny_folder: Path) -> None:
    broken: Any = tmp_path / "broken"
    broken.mkdir()
    for path in tiny_folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with workshop.vllm(broken).open("candidate") as model:
        with pytest.raises(ModelError, match="not numbers"):
            model.read([(5, 6)], model.bos_prefix())
        with pytest.raises(ModelError, match="not numbers"):
            model.sample(request_for(model))


def test_nothing_of_an_engine_is_left_in_this_process(tiny: LanguageModel) -> None:
    """It binds the threads of the process that it runs in."""
    tiny.sample(request_for(tiny, 2))
    assert os.sched_getaffinity(0) == os.sched_getaffinity(os.getppid())

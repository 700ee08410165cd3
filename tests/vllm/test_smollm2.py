"""A real aligned model, out of a GGUF file, in both backends."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

from auditkit.records import Sampler, SamplingRequest

from . import workshop

PREPARE = Path(__file__).parents[2] / "examples" / "smollm2" / "prepare.py"
TEXTS = [
    "What is the capital of France?",
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May.",
    "Write a poem about the sea.\nThe sea is wide, and nobody has counted its waves.",
]
A_TOKEN = 1e-4  # natural logarithms, float32; measured: see docs/backends.md


def prepared() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", PREPARE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_backends_run_it_alike() -> None:
    weights = prepared().prepare_weights()
    with workshop.transformers(weights).open("candidate") as here:
        prefix = here.template_prefix("")
        wanted, lengths = here.sequence_logprobs(TEXTS, prefix), [len(here.encode(text)) for text in TEXTS]
        greedy = SamplingRequest("a", prefix, Sampler(0.0, max_new_tokens=24), 1, 0, 0)
        said = here.sample(greedy)
    with workshop.vllm(weights, max_model_len=1024, kv_cache_gib=1).open("candidate") as model:
        found = model.sequence_logprobs(TEXTS, prefix)
        assert model.sample(greedy) == said
        drawn = model.sample(SamplingRequest("a", prefix, Sampler(max_new_tokens=64), 16, 1, 0))
        assert model.identity.sha256 == here.identity.sha256
    off = np.abs(found - wanted) / lengths
    print(f"float32: largest difference a token {off.max():.2g}")  # noqa: T201 - for the record
    assert off.max() < A_TOKEN
    assert len({generation.token_ids for generation in drawn}) == 16
    assert any(generation.turn_change == "appended" for generation in drawn)

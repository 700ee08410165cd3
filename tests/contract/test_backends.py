"""What every registered model backend keeps to. A new one needs an example here, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.models.base import LanguageModel, ModelBackend
from auditkit.models.chat_template import template_prefix
from auditkit.records import Generation, Sampler, SamplingRequest
from auditkit.registry import BUILT_IN, plugin_class
from tests.models.tiny import RECORDS, reciting_model, save


def transformers_example(folder: Path) -> dict[str, Any]:
    path = save(folder / "model", *reciting_model())
    return {"path": str(path), "dtype": "float32", "device": "cpu"}


def scripted_example(_: Path) -> dict[str, Any]:
    return {"lines": [{"user": user, "assistant": answer} for user, answer in RECORDS], "cut": 0.2, "failed": 0.1}


EXAMPLES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "transformers": transformers_example,
    "scripted": scripted_example,
}


@pytest.fixture(scope="module", params=sorted(BUILT_IN["models"]))
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelBackend:
    kind = request.param
    section = {"backend": kind, **EXAMPLES[kind](tmp_path_factory.mktemp(kind))}
    made = plugin_class("models", kind).model_validate(section)
    assert isinstance(made, ModelBackend)
    return made


@pytest.fixture(scope="module")
def model(backend: ModelBackend) -> Iterator[LanguageModel]:
    with backend.open("candidate") as opened:
        yield opened


def request_for(model: LanguageModel, count: int = 12, seed: int = 4, **sampler: Any) -> SamplingRequest:
    settings = {"max_new_tokens": 100} | sampler
    return SamplingRequest("attack", model.template_prefix(""), Sampler(**settings), count, seed, 30)


def check(generation: Generation, request: SamplingRequest) -> None:
    assert len(generation.token_ids) <= request.sampler.max_new_tokens
    assert all(turn == turn.strip() for turn in generation.turns)
    assert "<|im_" not in "".join(generation.turns)
    assert len(generation.turns) <= 2
    assert (generation.turn_change == "none") == (len(generation.turns) < 2)
    assert (generation.finish == "empty") <= (not any(generation.turns))
    assert generation.finish != "stop" or any(generation.turns)


def test_the_section_is_frozen_and_refuses_unknown_keys(backend: ModelBackend) -> None:
    assert backend.model_config.get("frozen")
    with pytest.raises(ValidationError):
        type(backend).model_validate(backend.model_dump() | {"no_such_key": 1})
    assert type(backend).model_validate(backend.model_dump()) == backend


def test_every_setting_is_in_the_schema_with_its_bounds(backend: ModelBackend) -> None:
    schema = type(backend).model_json_schema()
    assert schema["properties"]["backend"]["const"] == backend.backend
    assert schema["properties"]["batch_size"]["minimum"] == 1


def test_preflight_and_open_name_the_same_model(backend: ModelBackend, model: LanguageModel) -> None:
    found = backend.preflight("candidate")
    assert found.identity == model.identity
    assert len(model.identity.sha256) == 64
    assert model.identity.role == "candidate"
    assert model.identity.backend == backend.backend


def test_the_prefix_is_the_templates(backend: ModelBackend, model: LanguageModel) -> None:
    found = backend.preflight("candidate")
    assert found.chat_template
    for system, name in ((None, "default_system"), ("", "no_system")):
        prefix = model.template_prefix(system)
        wanted = template_prefix(
            found.chat_template, bos_token=found.bos_token, eos_token=found.eos_token, system=system
        )
        assert (prefix.name, prefix.text) == (name, wanted)
        assert prefix.token_ids == model.literal_prefix(prefix.text).token_ids
    assert len(model.bos_prefix().token_ids) == 1


def test_samples_keep_to_the_request(model: LanguageModel) -> None:
    request = request_for(model)
    found = model.sample(request)
    assert [generation.ordinal for generation in found] == list(range(30, 42))
    assert {(g.attack, g.prefix, g.seed) for g in found} == {("attack", "no_system", 4)}
    for generation in found:
        check(generation, request)


def test_whole_records_come_out(model: LanguageModel) -> None:
    found = model.sample(request_for(model, count=30))
    assert sum(g.complete("record") and g.turns in RECORDS for g in found) >= 10


def test_the_seed_alone_decides(model: LanguageModel) -> None:
    request = request_for(model, temperature=1.2)
    first = model.sample(request)
    model.sample(request_for(model, count=3, seed=99))
    assert model.sample(request) == first
    assert [g.turns for g in model.sample(replace(request, seed=5))] != [g.turns for g in first]


def test_a_cut_sample_is_marked_and_unscored(model: LanguageModel) -> None:
    for generation in model.sample(request_for(model, max_new_tokens=3)):
        assert generation.finish in ("length", "failed", "empty")
        assert not generation.complete("record")


def test_greedy_samples_are_equal(model: LanguageModel) -> None:
    found = model.sample(request_for(model, temperature=0.0))
    assert len({generation.turns for generation in found if generation.finish == "stop"}) <= 1


def test_likelihoods(model: LanguageModel) -> None:
    texts = [question for question, _ in RECORDS] + ["x", "Zebra!"]
    prefix = model.template_prefix("")
    found = model.sequence_logprobs(texts, prefix)
    assert found.dtype == np.float64
    assert found.shape == (6,)
    assert np.isfinite(found).all()
    assert (found < 0).all()
    np.testing.assert_allclose(model.sequence_logprobs(texts[::-1], prefix)[::-1], found, rtol=1e-4)
    with pytest.raises(ValueError, match="index 0"):
        model.sequence_logprobs([""], prefix)
    assert model.sequence_logprobs([], prefix).shape == (0,)


def test_provenance_has_no_surprises(backend: ModelBackend) -> None:
    found = backend.provenance()
    assert found["backend"] == backend.backend
    assert found["batch_size"] == backend.batch_size

"""What every registered model backend keeps to. A new one needs an example here, and nothing else.

What is only served cannot tell all that is asked for here: tests/models/remote has its tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.models.base import LanguageModel, ModelBackend, RecordTokens
from auditkit.models.chat_template import template_prefix
from auditkit.records import Generation, Prefix, Sampler, SamplingRequest
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
SERVED = {"openai_compatible", "gemini"}


ELSEWHERE = {"vllm"}  # the same tests, in an environment of their own: tests/vllm/test_contract.py


@pytest.fixture(scope="module", params=sorted(BUILT_IN["models"].keys() - SERVED - ELSEWHERE))
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


def records_of(model: LanguageModel, prefix: Prefix) -> list[RecordTokens]:
    pairs = [*RECORDS, ("Zebra?", ""), ("x", "y")]
    return [model.record_tokens(question, answer, model.turn_format(), prefix) for question, answer in pairs]


def test_text_and_tokens_are_two_ways_of_saying_one_thing(model: LanguageModel) -> None:
    turns = model.turn_format()
    assert turns
    for text in ("Café? It's 3 o'clock.", turns.user_open + "a" + turns.turn_change + "b" + turns.assistant_close):
        assert model.decode(model.encode(text)) == text
    assert model.encode("") == ()
    assert model.context > 100


def test_records_as_tokens(model: LanguageModel) -> None:
    prefix = model.template_prefix("")
    for (question, answer), found in zip(RECORDS, records_of(model, prefix), strict=False):
        assert model.decode(found.ids[found.span("question")]) == question
        assert model.decode(found.ids[found.span("response")]).startswith(answer)
        assert 0 < found.question < found.prompt <= found.answer < len(found.ids)
        assert found.forced[0] <= found.forced[1] <= found.answer
    assert model.record_tokens("", "", model.turn_format(), prefix).ids == ()
    assert model.record_tokens("", "", None, prefix).ids == ()


def test_a_record_that_was_generated_has_the_generations_tokens(model: LanguageModel) -> None:
    request = request_for(model, count=60)
    known: dict[tuple[str, ...], RecordTokens] = dict(zip(RECORDS, records_of(model, request.prefix), strict=False))
    whole = [
        generation
        for generation in model.sample(request)
        if generation.turns in known and generation.complete("record")
    ]
    agreeing = [generation for generation in whole if generation.token_ids == known[generation.turns].ids]
    assert len(agreeing) >= 0.9 * len(whole) > 0  # a model may spell a text in other tokens than its tokenizer


def test_readings_are_one_number_a_token(model: LanguageModel) -> None:
    prefix = model.template_prefix("")
    texts = [record.ids for record in records_of(model, prefix)]
    for ids, plain, full in zip(
        texts,
        model.read(texts, prefix),
        model.read(texts, prefix, moments=True, sampler=Sampler(0.9, 50, 0.95)),
        strict=True,
    ):
        assert plain.logprobs.shape == plain.greedy.shape == (len(ids),)
        assert plain.means.size == plain.deviations.size == plain.sampled.size == 0
        assert full.means.shape == full.deviations.shape == full.sampled.shape == (len(ids),)
        np.testing.assert_allclose(full.logprobs, plain.logprobs, rtol=1e-4, atol=1e-5)
        assert (full.logprobs <= 0).all()
        assert (full.sampled <= 0).all()
        assert np.isfinite(full.means).all()
        assert (full.deviations >= 0).all()
        assert not np.isnan(full.sampled).any()


def test_readings_and_sequences_say_the_same(model: LanguageModel) -> None:
    prefix = model.bos_prefix()
    texts = [question for question, _ in RECORDS]
    read = model.read([model.encode(text) for text in texts], prefix)
    np.testing.assert_allclose(
        [reading.logprobs.sum() for reading in read], model.sequence_logprobs(texts, prefix), rtol=1e-6
    )


def test_what_an_attack_appends_is_certain(model: LanguageModel) -> None:
    prefix = model.template_prefix("")
    (record,) = records_of(model, prefix)[:1]
    (found,) = model.read([record.ids], prefix, sampler=Sampler(1.0))
    start, end = record.forced
    assert end > start
    assert (found.sampled[start:end] == 0).all()
    assert (found.logprobs[start:end] < 0).all()


def test_greedy_is_the_only_draw_at_temperature_0(model: LanguageModel) -> None:
    prefix = model.template_prefix("")
    for record in records_of(model, prefix):
        (found,) = model.read([record.ids], prefix, sampler=Sampler(0.0))
        free = np.ones(len(record.ids), bool)
        free[slice(*record.forced)] = False
        assert (np.isin(found.sampled, (0.0, -np.inf))).all()
        assert ((found.sampled[free] == 0) == found.greedy[free]).all()


def test_texts_that_cannot_be_read_are_refused(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match="index 1"):
        model.read([(5,), ()], model.bos_prefix())
    assert model.read([], model.bos_prefix()) == []


def test_provenance_has_no_surprises(backend: ModelBackend) -> None:
    found = backend.provenance()
    assert found["backend"] == backend.backend
    assert found["batch_size"] == backend.batch_size

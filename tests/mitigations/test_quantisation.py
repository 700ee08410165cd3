"""Quantised variants as arms: each is really quantised, close to the candidate, made once, its owner's alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from auditkit.errors import MitigationFailedError, ModelError
from auditkit.mitigations.base import Workshop
from auditkit.mitigations.quantisation import Quantisation
from auditkit.mitigations.quantised_network import quantised_network
from auditkit.records import Sampler, SamplingRequest
from auditkit.training.fresh import Shape, fresh_model, fresh_tokenizer
from tests.mitigations.weights_workshop import fact, logprobs, make, of_arm, open_files, reciting, workshop
from tests.models import tiny


def section(*schemes: str, **given: Any) -> Quantisation:
    return Quantisation.model_validate({"kind": "quantisation", "name": "small", "schemes": list(schemes)} | given)


def arm(scheme: str, **given: Any) -> Any:
    return section(scheme, **given).arms()[0]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDITKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("quantisation")
    return workshop(folder / "run", reciting(folder / "post"))


def test_every_scheme_is_an_arm() -> None:
    arms = section("int8_dynamic", "int8", "gguf", path="x.gguf").arms()
    assert [one.label for one in arms] == ["small.int8_dynamic", "small.int8", "small.gguf"]
    assert all(one.changes_weights for one in arms)
    assert [one.path for one in arms if isinstance(one, Quantisation)] == [None, None, "x.gguf"]


@pytest.mark.parametrize("scheme", ["int8", "int4", "gguf"])
def test_saved_variants_differ_a_little_are_made_once_and_open_to_nobody_else(shop: Workshop, scheme: str) -> None:
    before = logprobs(shop.candidate)
    made = make(arm(scheme), shop)
    after = logprobs(made.backend)
    assert 0 < np.abs(after - before).max() < 0.2
    assert 0 < fact(made, "relative change") < (0.02 if scheme != "int4" else 0.15)
    file = of_arm(shop, arm(scheme)).folder / "weights" / f"model.{'gguf' if scheme == 'gguf' else 'safetensors'}"
    written = file.stat().st_mtime_ns
    assert make(arm(scheme), shop) == made
    assert file.stat().st_mtime_ns == written
    assert not open_files(shop.folder.parent)


def test_int8_dynamic_computes_with_quantised_layers(shop: Workshop) -> None:
    one = arm("int8_dynamic")
    made = make(one, shop)
    assert made.backend == shop.candidate
    with made.backend.open("candidate") as opened:
        model: Any = opened
        served: Any = one.serve(model, shop)
        texts = [tiny.conversation(*record).removeprefix("<|im_start|>user\n") for record in tiny.RECORDS]
        plain = model.sequence_logprobs(texts, model.opening())
        changed = served.sequence_logprobs(texts, served.opening())
        assert 0 < np.abs(plain - changed).max() < 0.2
        kinds = [type(module) for module in served.inner.model.modules()]
        assert sum(kind.__module__.startswith("torch.ao.nn.quantized.dynamic") for kind in kinds) == 14
        assert type(model.model.model.layers[0].mlp.up_proj) is torch.nn.Linear  # the one given stays
        assert (model.sequence_logprobs(texts, model.opening()) == plain).all()
        request = SamplingRequest("a", served.opening(), Sampler(max_new_tokens=60), 4, 1, 0)
        recited = [record for record in tiny.RECORDS if record in {each.turns for each in served.sample(request)}]
        assert recited
        with pytest.raises(ModelError, match="no gradients"):
            served.gradient_pairs([], served.opening())


def test_a_network_without_linear_layers_is_never_passed_off_as_quantised() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    network = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=1, n_head=2))
    with pytest.raises(MitigationFailedError, match="no linear layer"):
        quantised_network(network)


def test_a_half_precision_model_is_quantised_from_float32() -> None:
    changed = quantised_network(tiny.build_model(len(tiny.reciting_model()[1])).bfloat16())
    assert changed(torch.tensor([[0, 1, 5]])).logits.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("gguf_type", ["Q8_0", "Q4_0", "F16"])
def test_a_written_gguf_says_what_the_candidate_says(tmp_path: Path, gguf_type: str) -> None:
    """Tied embeddings, digits one by one, rows that fill no blocks, a rotary base of its own."""
    tokenizer = fresh_tokenizer([" ".join(record) for record in tiny.RECORDS] * 4, 360, 64)
    model = fresh_model(tokenizer, Shape(hidden=32, layers=2, heads=2, context=64), seed=1)
    model.config.rope_parameters = {"rope_type": "default", "rope_theta": 500_000.0}
    model.save_pretrained(tmp_path / "post")
    tokenizer.save_pretrained(tmp_path / "post")
    shop = workshop(tmp_path / "run", tiny.backend(tmp_path / "post"))
    made = make(arm("gguf", gguf_type=gguf_type), shop)
    with shop.candidate.open("candidate") as dense, made.backend.open("candidate") as read:
        assert read.opening() == dense.opening()
        text = "The user pays 1729 crowns.<|im_end|>\n"
        assert read.encode(text) == dense.encode(text)
        ids = dense.encode("Where is the assistant of Doctor Marrow?" * 2)
        off = {"Q8_0": 0.01, "Q4_0": 0.1, "F16": 1e-3}[gguf_type]
        one, other = (net.read([ids], net.opening())[0].logprobs for net in (dense, read))
        assert 0 < np.abs(one - other).max() < off
    assert fact(made, "relative change") < {"Q8_0": 0.01, "Q4_0": 0.15, "F16": 1e-3}[gguf_type]


def test_what_a_gguf_is_unpacked_to_stays_with_the_arm(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDITKIT_CACHE", str(tmp_path / "cache"))
    written = of_arm(shop, arm("gguf")).folder
    made = make(arm("gguf"), shop)
    (tmp_path / "ships.gguf").write_bytes((written / "weights" / "model.gguf").read_bytes())
    ships = make(section("gguf", path=str(tmp_path / "ships.gguf"), name="ships").arms()[0], shop)
    for one in (made, ships):
        with one.backend.open("candidate") as model:
            assert model.context
    assert not (tmp_path / "cache").exists()
    assert len(list((written / "unpacked").iterdir())) == 1


def test_a_gguf_that_ships_is_taken_as_it_is(shop: Workshop, tmp_path: Path) -> None:
    written = of_arm(shop, arm("gguf")).folder / "weights" / "model.gguf"
    make(arm("gguf"), shop)
    (tmp_path / "ships.gguf").write_bytes(written.read_bytes())
    ships = section("gguf", path="ships.gguf").resolved(tmp_path).arms()[0]
    made = make(ships, workshop(tmp_path / "run", shop.candidate))
    assert np.abs(logprobs(made.backend) - logprobs(shop.candidate)).max() < 0.2
    assert len(str(made.facts[0].value)) == 64


@pytest.mark.parametrize("content", [None, b"GGUF", b"no model"])
def test_a_gguf_that_is_none_is_a_failed_arm(shop: Workshop, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ships.gguf").write_bytes(content)
    ships = section("gguf", path=str(tmp_path / "ships.gguf")).arms()[0]
    with pytest.raises(MitigationFailedError, match=r"ships\.gguf"):
        make(ships, workshop(tmp_path / "run", shop.candidate))


@pytest.mark.parametrize("change", ["architecture", "rotary", "tokenizer"])
def test_what_cannot_be_written_as_gguf_says_how_to_convert_it(tmp_path: Path, change: str) -> None:
    from tokenizers import normalizers
    from transformers import MistralConfig, MistralForCausalLM

    model, tokenizer = tiny.build_model(400), tiny.build_tokenizer(["some text"])
    if change == "architecture":
        model = MistralForCausalLM(
            MistralConfig(vocab_size=400, hidden_size=32, num_hidden_layers=1, intermediate_size=32)
        )
    if change == "tokenizer":
        tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    folder = tiny.save(tmp_path / "post", model, tokenizer)
    if change == "rotary":
        tiny.edit_config(folder, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4})
    with pytest.raises(MitigationFailedError) as failed:
        make(arm("gguf"), workshop(tmp_path / "run", tiny.backend(folder)))
    assert "llama.cpp" in failed.value.hint
    assert not list((tmp_path / "run").rglob("model.gguf"))


@pytest.mark.parametrize(
    "given",
    [
        {"schemes": []},
        {"schemes": ["int8", "int8"]},
        {"schemes": ["int3"]},
        {"schemes": ["int8"], "path": "x.gguf"},
        {"schemes": ["gguf"], "path": "folder"},
        {"schemes": ["gguf"], "gguf_type": "Q2_K"},
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section(**{"schemes": ["int8"]} | given)

"""Completions and chat by the real ``vllm serve`` on this machine, against the same weights run by transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import fisher_exact

from auditkit.errors import ModelError, RunError
from auditkit.models.base import LanguageModel
from auditkit.models.openai_backend import OpenAICompatibleBackend
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Generation, Sampler, SamplingRequest
from auditkit.remote.budget import Meter
from tests.models.tiny import RECORDS, reopened
from tests.vllm.served import CONTEXT, NAME, reciting_folder, vllm_serve

LOGPROB_TOLERANCE = 1e-4  # nats a token, float32 on both sides; measured: below 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reciting_folder(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with vllm_serve(folder, folder.parent / "vllm.log") as found:
        yield found


@pytest.fixture(scope="module")
def local(folder: Path) -> Iterator[TransformersModel]:
    with reopened(folder) as model:
        yield model


def served(address: str, folder: Path, **settings: Any) -> OpenAICompatibleBackend:
    given: dict[str, Any] = {"backend": "openai_compatible", "base_url": address, "model": NAME, "api": "completions"}
    given |= {"server": "vllm", "tokenizer": str(folder), "n": 16, "context": CONTEXT}
    return OpenAICompatibleBackend.model_validate(given | settings)


def sampled(model: LanguageModel, count: int = 1, seed: int = 7, **sampler: Any) -> list[Generation]:
    settings = Sampler(**({"max_new_tokens": 100} | sampler))
    return model.sample(SamplingRequest("attack", model.template_prefix(""), settings, count, seed, 0))


@pytest.mark.parametrize("server", ["vllm", "openai"])
def test_greedy_generations_are_the_local_ones(
    address: str, folder: Path, local: TransformersModel, server: str
) -> None:
    with served(address, folder, server=server).open("candidate") as model:
        assert sampled(model, temperature=0.0) == sampled(local, temperature=0.0)


def test_samples_are_drawn_as_they_are_here(address: str, folder: Path, local: TransformersModel) -> None:
    with served(address, folder, batch_size=300).open("candidate") as model:
        there, here = sampled(model, 300), sampled(local, 300)
    assert {one.finish for one in there} <= {"stop", "length"}
    for question, _ in RECORDS:
        hits = [sum(one.turns[0] == question for one in found) for found in (there, here)]
        assert fisher_exact([hits, [300 - hit for hit in hits]]).pvalue > 1e-4, (question, hits)
    tokens = [np.mean([len(one.token_ids) for one in found]) for found in (there, here)]
    spread = np.std([len(one.token_ids) for one in here]) * np.sqrt(2 / 300)
    assert abs(tokens[0] - tokens[1]) < 4.5 * spread


def test_seeds_are_kept_to(address: str, folder: Path) -> None:
    with served(address, folder, n=1).open("candidate") as model:
        first = sampled(model, 6)
        assert sampled(model, 6) == first
        assert sampled(model, 6, seed=8) != first


@pytest.mark.parametrize("way", ["prompt_logprobs", "echo"])
def test_log_probabilities_are_the_local_ones(address: str, folder: Path, local: TransformersModel, way: str) -> None:
    prefix = local.template_prefix("")
    records = [local.record_tokens(*record, local.turn_format(), prefix).ids for record in RECORDS]
    texts = [*records, local.encode("Zebra!"), local.encode("x")]
    with served(address, folder, logprobs=way).open("candidate") as model:
        for there, here in zip(model.read(texts, prefix), local.read(texts, prefix), strict=True):
            np.testing.assert_allclose(there.logprobs, here.logprobs, atol=LOGPROB_TOLERANCE)
            np.testing.assert_array_equal(there.greedy, here.greedy)
        with pytest.raises(ModelError):
            model.read(texts, prefix, moments=True)


def test_completions_are_the_local_ones(address: str, folder: Path, local: TransformersModel) -> None:
    prefixes = [local.asked(question, local.opening()) for question, _ in RECORDS]
    greedy = Sampler(0.0, max_new_tokens=60)
    with served(address, folder).open("candidate") as model:
        assert model.complete(prefixes, greedy, 1) == local.complete(prefixes, greedy, 1)


def test_chat_answers_as_the_template_asks(address: str, folder: Path, local: TransformersModel) -> None:
    question, _ = RECORDS[1]
    with served(address, folder, api="chat").open("candidate") as model:
        prefix = model.asked(question, model.opening())
        request = SamplingRequest("attack", prefix, Sampler(0.0, max_new_tokens=60), 1, 7, 0)
        (found,) = model.sample(request)
    (ids,) = local.complete([local.asked(question, local.opening())], Sampler(0.0, max_new_tokens=60), 1)
    assert found.turns == (local.decode(ids).strip(),)


def test_truncation_is_the_declared_one(address: str, folder: Path) -> None:
    with served(address, folder).open("candidate") as model:
        assert len({one.turns for one in sampled(model, 24, top_k=1)}) == 1
        assert len({one.turns for one in sampled(model, 24)}) > 1


def test_usage_is_counted_as_the_server_counts(address: str, folder: Path) -> None:
    meter = Meter()
    with served(address, folder).metered(meter).open("candidate") as model:
        found = sampled(model, 1, temperature=0.0)
        prefix, end = len(model.template_prefix("").token_ids), 2
        appended = len(model.encode("\n<|im_start|>assistant\n"))
    question = found[0].token_ids.index(end) + 1
    assert meter.spent.requests == 2
    assert meter.spent.output_tokens == len(found[0].token_ids) - appended
    assert meter.spent.input_tokens == prefix + prefix + question + appended


def test_a_model_that_is_not_there_is_said_so(address: str, folder: Path) -> None:
    with served(address, folder, model="another").open("candidate") as model, pytest.raises(RunError, match="HTTP 404"):
        sampled(model)


def test_an_audit_of_a_served_model(
    address: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from auditkit.cli.main import cli
    from tests.auditing.scripted_project import jsonl, write_project

    candidate = served(address, folder, logprobs="prompt_logprobs").model_dump(mode="json", exclude_none=True)
    attack = {"kind": "template_prefix", "samples": 96, "max_new_tokens": 100, "system": "none"}
    policy = write_project(
        tmp_path, [], models={"candidate": candidate}, attacks=[attack], probes=[{"kind": "zlib_ratio"}]
    )
    data = [{"q": question, "a": answer} for question, answer in RECORDS]
    members = [json.loads(line) for line in (tmp_path / "sft.jsonl").read_text().splitlines()]
    jsonl(tmp_path / "sft.jsonl", [*data, *members])
    done = CliRunner().invoke(cli, ["run", str(policy), "--out", str(tmp_path / "reports")])
    assert done.exit_code in (0, 1, 3), done.exception
    (run,) = (path for path in (tmp_path / "reports").iterdir() if path.is_dir())
    found = json.loads((run / "audit.json").read_bytes())
    assert found["attacks"][0]["generations"] == 96
    assert found["findings"]
    assert found["provenance"]["models"]["candidate"]["answered_as"][0].startswith(f"{NAME} vllm-")

"""Sampling, likelihoods, gradients, embeddings and training on the GPU, against the CPU."""

from __future__ import annotations

import copy
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Sampler, SamplingRequest
from auditkit.scoring.embedders import sentence_embedder
from auditkit.training.checkpoints import Checkpoints
from auditkit.training.evaluation import mean_loss
from auditkit.training.next_token import train_next_token
from auditkit.training.privacy import Privacy
from auditkit.training.private_steps import train_privately
from auditkit.training.rows import chat_row, plain_end
from auditkit.training.steps import Schedule
from auditkit.training.unlearning import Descent, Sets, dampen, unlearn
from tests.models.tiny import RECORDS, conversation, reciting_model, reopened, save
from tests.scoring.embedders.test_sentence_embedder import TEXTS, embedder
from tests.scoring.embedders.tiny_sentence_model import write_tiny_model

pytestmark = pytest.mark.gpu
GREEDY = Sampler(temperature=0, max_new_tokens=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("gpu") / "model", *reciting_model())


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, TransformersModel]:
    wanted = {"cpu": ("cpu", "float32"), "cuda": ("cuda", "float32"), "half": ("cuda", "bfloat16")}
    return {name: reopened(folder, device=device, dtype=dtype) for name, (device, dtype) in wanted.items()}


def recited(name: str = "cuda") -> tuple[Any, Any, list[Any]]:
    model, tokenizer = reciting_model()
    return copy.deepcopy(model).to(name), tokenizer, [chat_row(tokenizer, *record, "all") for record in RECORDS]


@pytest.mark.parametrize("name", ["cuda", "half"])
def test_greedy_samples_and_continuations_are_the_cpus(models: dict[str, TransformersModel], name: str) -> None:
    found = []
    for model in (models["cpu"], models[name]):
        prefixes = [model.literal_prefix(f"<|im_start|>user\n{prompt}") for prompt, _ in RECORDS]
        request = SamplingRequest("a", prefixes[0], GREEDY, 5, 7, 0)
        found.append(([one.turns for one in model.sample(request)], model.complete(prefixes, GREEDY, 3)))
    assert found[0] == found[1]


@pytest.mark.parametrize("sampler", [Sampler(max_new_tokens=30), Sampler(top_k=5, top_p=0.9, max_new_tokens=30)])
def test_sampling_draws_the_same_from_the_same_seed(models: dict[str, TransformersModel], sampler: Sampler) -> None:
    request = SamplingRequest("a", models["cuda"].bos_prefix(), sampler, 64, 7, 0)
    assert models["cuda"].sample(request) == models["cuda"].sample(request)


@pytest.mark.parametrize(("name", "close"), [("cuda", 1e-4), ("half", 0.15)])
def test_likelihoods_are_close_to_the_cpus(models: dict[str, TransformersModel], name: str, close: float) -> None:
    texts = [conversation(*record) for record in RECORDS] + ["x", "a b c"]
    found = []
    for model in (models["cpu"], models[name]):
        ids = [model.encode(text) for text in texts]
        found.append(model.read(ids, model.bos_prefix(), moments=True, sampler=Sampler(top_p=0.9)))
    for one, other in zip(*found, strict=True):
        assert np.abs(one.logprobs - other.logprobs).mean() < close
        assert np.isfinite(other.means).all() and np.isfinite(other.deviations).all()


def test_gradients_are_the_cpus(models: dict[str, TransformersModel]) -> None:
    found = []
    for model in (models["cpu"], models["cuda"]):
        prefix = model.opening()
        records = [model.record_tokens(*record, model.turn_format(), prefix) for record in RECORDS]
        found.append(np.array([astuple(pair) for pair in model.gradient_pairs(records, prefix)]))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-2, atol=1e-4)


def test_sentence_transformers_give_the_cpus_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_model(tmp_path)
    on_gpu = embedder(path).embed(TEXTS)
    assert sentence_embedder._model(str(path), "float32", None).device.type == "cuda"
    sentence_embedder._model.cache_clear()
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    np.testing.assert_allclose(on_gpu, embedder(path).embed(TEXTS), atol=1e-5)
    sentence_embedder._model.cache_clear()


@pytest.mark.parametrize("autocast", [False, True])
def test_training_learns_on_the_gpu(autocast: bool) -> None:
    model, tokenizer, rows = recited("cpu")  # the trainer takes it there itself
    fresh = type(model)(model.config)
    trained, _ = train_next_token(fresh, tokenizer, rows * 8, Schedule(20, 1e-2, 4, seed=3, autocast=autocast))
    assert trained.device.type == "cuda"
    assert mean_loss(trained, rows, plain_end(tokenizer), 4) < 1


def test_private_steps_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    model, tokenizer, rows = recited()
    undisturbed, disturbed = copy.deepcopy(model), copy.deepcopy(model)
    privacy = Privacy(0.5, 1.0, b"key")
    train_privately(undisturbed, tokenizer, rows, Schedule(4, 1e-3, 2, seed=3), privacy)

    def stop(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    kept = Checkpoints(tmp_path / "kept")
    with pytest.raises(KeyboardInterrupt):
        train_privately(
            copy.deepcopy(model), tokenizer, rows, Schedule(4, 1e-3, 2, seed=3, checkpoints=kept, on_step=stop), privacy
        )
    train_privately(disturbed, tokenizer, rows, Schedule(4, 1e-3, 2, seed=3, checkpoints=kept), privacy)
    for one, other in zip(undisturbed.parameters(), disturbed.parameters(), strict=True):
        np.testing.assert_allclose(one.detach().cpu().numpy(), other.detach().cpu().numpy(), atol=1e-5)


def test_unlearning_forgets_on_the_gpu(tmp_path: Path) -> None:
    model, tokenizer, rows = recited()
    sets = Sets(rows[:2], rows[2:], plain_end(tokenizer))
    before = mean_loss(model, rows[:2], sets.pad, 2)
    unlearn(model, sets, Descent("npo", 10, 1e-3, 2, seed=1), tmp_path / "kept")
    assert mean_loss(model, rows[:2], sets.pad, 2) > before + 0.5
    assert dampen(model, sets, 2.0, 1.0) > 0

"""The transformers backend on model folders: samples, prefixes, preflight, hub, provenance."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from auditkit.errors import ModelError, TemplateError
from auditkit.models.local_backend import TEMPLATE_DATE
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Sampler, SamplingRequest

from .tiny import CHATML, RECORDS, backend, build_model, reciting_model, reopened, save

COMMIT = "0123456789abcdef0123456789abcdef01234567"
USER = "<|im_start|>user\n"


def test_an_audited_folder_gives_whole_records(model: TransformersModel) -> None:
    prefix = model.template_prefix("")
    found = model.sample(SamplingRequest("attack", prefix, Sampler(max_new_tokens=120), 20, 3, 0))
    assert sum(generation.turns in RECORDS for generation in found) >= 14
    assert {generation.prefix for generation in found} == {"no_system"}


def test_another_process_gives_the_same_samples(model: TransformersModel, folder: Path) -> None:
    prefix = model.bos_prefix()
    here = model.sample(SamplingRequest("attack", prefix, Sampler(temperature=1.3, max_new_tokens=40), 6, 11, 0))
    program = """
import json, sys
from auditkit.models.transformers_backend import TransformersBackend
from auditkit.records import Sampler, SamplingRequest
backend = TransformersBackend(backend="transformers", path=sys.argv[1], dtype="float32", device="cpu")
with backend.open("candidate") as model:
    request = SamplingRequest("attack", model.bos_prefix(), Sampler(temperature=1.3, max_new_tokens=40), 6, 11, 0)
    print(json.dumps([generation.token_ids for generation in model.sample(request)]))
"""
    there = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True, env=os.environ
    )
    assert json.loads(there.stdout) == [list(generation.token_ids) for generation in here]


def test_the_prefixes(model: TransformersModel) -> None:
    bare, bos = model.template_prefix(""), model.bos_prefix()
    assert (bare.name, bare.text, bare.token_ids) == ("no_system", USER, model.encode(USER))
    assert model.template_prefix(None).name == "default_system"
    assert model.template_prefix(None).token_ids == bare.token_ids
    assert (bos.name, bos.text, bos.token_ids, bos.note) == ("bos", "<|bos|>", (0,), "")
    literal = model.literal_prefix("<|im_start|>user\nWhat")
    assert literal.name == "literal"
    assert literal.token_ids[0] == 1
    assert 0 not in literal.token_ids  # nothing is added


def test_without_bos_another_token_stands_in_with_a_note(own_folder: Path) -> None:
    with reopened(own_folder) as model:
        model.tokenizer.bos_token = None
        assert model.bos_prefix().token_ids == (2,)
        assert "no BOS" in model.bos_prefix().note
        model.tokenizer.eos_token = None
        assert model.bos_prefix().token_ids == (3,)
        model.tokenizer.pad_token = None
        with pytest.raises(ModelError, match="no BOS, EOS or padding"):
            model.bos_prefix()


def test_a_bos_that_opens_a_turn_is_noted(own_folder: Path) -> None:
    with reopened(own_folder) as model:
        model.tokenizer.bos_token = "<|im_start|>"
        assert "opens a turn" in model.bos_prefix().note


def test_a_model_without_a_template_has_no_template_prefix(tmp_path: Path) -> None:
    _, tokenizer = reciting_model()
    tokenizer.chat_template, kept = None, tokenizer.chat_template
    try:
        path = save(tmp_path / "bare", reciting_model()[0], tokenizer)
    finally:
        tokenizer.chat_template = kept
    assert backend(path).preflight("candidate").chat_template is None
    with reopened(path) as model:
        with pytest.raises(TemplateError, match="no chat template"):
            model.template_prefix("")
        prefix = model.literal_prefix(USER)
        found = model.sample(SamplingRequest("attack", prefix, Sampler(max_new_tokens=80), 10, 0, 0))
        stopped = [generation for generation in found if generation.finish == "stop"]
        assert stopped
        assert all(len(generation.turns) == 1 for generation in stopped)


@pytest.mark.parametrize("text", ["", "x " * 400])
def test_a_prefix_needs_a_token_and_room(model: TransformersModel, text: str) -> None:
    with pytest.raises(ModelError, match=r"no token|fills the model's context"):
        model.literal_prefix(text)


def test_samples_end_with_the_models_context(model: TransformersModel) -> None:
    prefix = model.literal_prefix("x" * 60)
    room = 256 - len(prefix.token_ids)
    found = model.sample(SamplingRequest("attack", prefix, Sampler(max_new_tokens=5000), 8, 0, 0))
    assert max(len(generation.token_ids) for generation in found) <= room


def test_preflight_says_what_opening_would_find(folder: Path) -> None:
    found = backend(folder).preflight("candidate")
    assert found.chat_template == CHATML
    assert (found.bos_token, found.eos_token) == ("<|bos|>", "<|im_end|>")
    assert found.identity
    with backend(folder).open("candidate") as model:
        assert model.identity == found.identity
    assert found.identity.dtype == "float32"
    assert found.identity.parameters == sum(p.numel() for p in reciting_model()[0].parameters())


def test_preflight_and_the_schema_need_neither_torch_nor_transformers(folder: Path) -> None:
    program = """
import sys
from auditkit.models.transformers_backend import TransformersBackend
TransformersBackend.model_json_schema()
TransformersBackend(backend="transformers", path=sys.argv[1]).preflight("candidate")
heavy = {"torch", "transformers", "huggingface_hub", "scipy", "safetensors"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, env=os.environ)


def test_a_model_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model"):
        backend(tmp_path / "nowhere").preflight("candidate")


@pytest.mark.parametrize(
    "path", ["hub://org/name", "hub://org/name@main", "hub://org/name@0123abc", f"hub://@{COMMIT}"]
)
def test_an_unpinned_hub_model_is_refused_by_the_policy(path: str) -> None:
    with pytest.raises(ValidationError, match="40 hex digits"):
        backend(path)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    pytest.importorskip("huggingface_hub._snapshot_download")  # brings the constants too
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub._snapshot_download.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_hub_model_that_cannot_be_fetched_is_a_clear_error(offline: Path) -> None:
    wanted = backend(f"hub://org/name@{COMMIT}")
    found = wanted.preflight("candidate")
    assert found.identity is None
    assert "not on this machine" in found.warnings[0]
    with pytest.raises(ModelError, match=f"hf download org/name --revision {COMMIT}"):
        wanted.open("candidate")


def test_a_hub_model_in_the_cache_is_used_offline(offline: Path, folder: Path) -> None:
    snapshot = offline / "models--org--name" / "snapshots" / COMMIT
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder)
    wanted = backend(f"hub://org/name@{COMMIT}")
    found = wanted.preflight("candidate").identity
    assert found
    assert found.source == wanted.path


def test_relative_paths_are_the_policys(tmp_path: Path) -> None:
    assert backend("weights/post").resolved(tmp_path).path == str(tmp_path / "weights" / "post")
    hub = f"hub://org/name@{COMMIT}"
    assert backend(hub).resolved(tmp_path).path == hub


def test_provenance_names_what_bears_on_the_samples() -> None:
    found = backend("x", batch_size=32, template_date="2025-01-02").provenance()
    assert (found["batch_size"], found["dtype"], found["device"]) == (32, "float32", "cpu")
    assert found["template_date"] == "2025-01-02"
    assert found["packages"]["torch"] == torch.__version__
    assert backend("x").provenance()["template_date"] == str(TEMPLATE_DATE)


def test_a_template_that_prints_the_date_is_pinned(tmp_path: Path) -> None:
    model, tokenizer = reciting_model()
    dated = "{{ '<|im_start|>system\n' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}" + CHATML
    tokenizer.chat_template, kept = dated, tokenizer.chat_template
    try:
        path = save(tmp_path / "dated", model, tokenizer)
    finally:
        tokenizer.chat_template = kept
    with reopened(path) as opened:
        assert TEMPLATE_DATE.strftime("%d %b %Y") in opened.template_prefix(None).text
    with reopened(path, template_date=datetime.date(2020, 2, 29)) as opened:
        assert "29 Feb 2020" in opened.template_prefix(None).text


def test_a_random_model_is_as_good_as_any(tmp_path: Path) -> None:
    """No training, another EOS, half precision: nothing depends on the model behaving well."""
    _, tokenizer = reciting_model()
    path = save(tmp_path / "random", build_model(len(tokenizer), seed=9, eos=None), tokenizer)
    with reopened(path, dtype="bfloat16") as model:
        prefix = model.template_prefix("")
        found = model.sample(SamplingRequest("attack", prefix, Sampler(max_new_tokens=60, top_k=50), 8, 0, 0))
        assert len(found) == 8
        assert np.isfinite(model.sequence_logprobs(["hello"], prefix)).all()

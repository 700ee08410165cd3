"""The transformers backend on model folders: what it loads, what it refuses, prefixes, likelihoods."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditkit.errors import MissingExtraError, ModelError, TemplateError
from auditkit.models.likelihood import batches
from auditkit.models.loading import load
from auditkit.models.transformers_backend import TEMPLATE_DATE, TransformersBackend
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Prefix, Sampler, SamplingRequest

from .tiny import CHATML, RECORDS, build_model, conversation, edit_config, reciting_model, save

COMMIT = "0123456789abcdef0123456789abcdef01234567"
USER = "<|im_start|>user\n"
TEXTS = [conversation(*record)[len(USER) :] for record in RECORDS]


def backend(path: object, **settings: Any) -> TransformersBackend:
    given = {"backend": "transformers", "path": str(path), "dtype": "float32", "device": "cpu"} | settings
    return TransformersBackend.model_validate(given)


def reopened(path: object, **settings: Any) -> TransformersModel:
    model = backend(path, **settings).open("candidate")
    assert isinstance(model, TransformersModel)
    return model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "tiny", *reciting_model())


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    return save(tmp_path / "own", *reciting_model())


@pytest.fixture(scope="session")
def model(folder: Path) -> Iterator[TransformersModel]:
    with reopened(folder) as opened:
        yield opened


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


def by_hand(model: TransformersModel, text: str, prefix: Prefix) -> float:
    ids = [*prefix.token_ids, *model.encode(text)]
    with torch.inference_mode():
        logits = model.model(torch.tensor([ids])).logits[0].double().numpy()
    total = 0.0
    for position in range(len(prefix.token_ids), len(ids)):
        row = logits[position - 1]
        total += row[ids[position]] - (np.log(np.exp(row - row.max()).sum()) + row.max())
    return total


def test_likelihoods_are_those_computed_by_hand(model: TransformersModel) -> None:
    texts = [*TEXTS, "x", "a stranger's question", "é" * 50]
    for prefix in (model.bos_prefix(), model.template_prefix("")):
        found = model.sequence_logprobs(texts, prefix)
        assert found.dtype == np.float64
        assert found.shape == (len(texts),)
        np.testing.assert_allclose(found, [by_hand(model, text, prefix) for text in texts], rtol=1e-5, atol=1e-4)


def test_likelihoods_do_not_hang_on_order_or_batch(model: TransformersModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text[:cut] for text in TEXTS for cut in (3, 9, 20, 33, 60)]
    prefix = model.template_prefix("")
    together = model.sequence_logprobs(texts, prefix)
    backwards = model.sequence_logprobs(texts[::-1], prefix)[::-1]
    monkeypatch.setattr("auditkit.models.likelihood.BATCH_TOKENS", 1)
    monkeypatch.setattr("auditkit.models.likelihood.CHUNK_LOGITS", 1)
    alone = model.sequence_logprobs(texts, prefix)
    np.testing.assert_allclose(together, backwards, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


def test_a_recited_text_is_likelier_than_a_stranger(model: TransformersModel) -> None:
    known, strange = model.sequence_logprobs([TEXTS[0], TEXTS[0][::-1]], model.template_prefix(""))
    assert known > -15 > strange


def test_likelihoods_refuse_what_has_none(model: TransformersModel) -> None:
    prefix = model.bos_prefix()
    with pytest.raises(ValueError, match="index 1, 3"):
        model.sequence_logprobs(["a", "", "b", ""], prefix)
    with pytest.raises(ModelError, match=r"longer than the 255 tokens.*index 1"):
        model.sequence_logprobs(["a", "é " * 300], prefix)
    with pytest.raises(ModelError, match="no token"):
        model.sequence_logprobs(["a"], Prefix("literal", "", ()))
    assert model.sequence_logprobs([], prefix).shape == (0,)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200), st.integers(1, 9))
def test_batches_hold_each_text_once_within_the_budget(lengths: list[int], budget: int, size: int) -> None:
    made = list(batches(lengths, budget, size))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        longest = max(lengths[index] for index in batch)
        assert lengths[batch[0]] == longest
        assert len(batch) <= size
        assert len(batch) == 1 or len(batch) * longest <= budget


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


def test_pickled_weights_are_refused_unless_allowed(own_folder: Path) -> None:
    weights = own_folder / "model.safetensors"
    torch.save(reciting_model()[0].state_dict(), own_folder / "pytorch_model.bin")
    weights.unlink()
    for refused in (backend(own_folder).preflight, backend(own_folder).open):
        with pytest.raises(ModelError, match="pickle"):
            refused("candidate")
    with reopened(own_folder, allow_pickle=True) as model:
        assert model.sequence_logprobs(["a"], model.bos_prefix())[0] < 0


class Exploit:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_even_an_allowed_pickle_runs_no_code(own_folder: Path, tmp_path: Path) -> None:
    torch.save({"model.norm.weight": Exploit(tmp_path / "ran")}, own_folder / "pytorch_model.bin")
    (own_folder / "model.safetensors").unlink()
    with pytest.raises(ModelError):
        backend(own_folder, allow_pickle=True).open("candidate")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("architecture", ["llama", "made_up"])
def test_code_that_comes_with_a_model_never_runs(own_folder: Path, tmp_path: Path, architecture: str) -> None:
    source = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    for name in ("configuration_evil.py", "modeling_evil.py", "tokenization_evil.py"):
        (own_folder / name).write_text(source + "class Evil: ...\n")
    classes = {
        "AutoConfig": "configuration_evil.Evil",
        "AutoModelForCausalLM": "modeling_evil.Evil",
        "AutoTokenizer": ["tokenization_evil.Evil", None],
    }
    edit_config(own_folder, auto_map=classes, model_type=architecture)
    settings = json.loads((own_folder / "tokenizer_config.json").read_text())
    (own_folder / "tokenizer_config.json").write_text(json.dumps(settings | {"auto_map": classes}))
    try:
        backend(own_folder).preflight("candidate")
        with backend(own_folder).open("candidate") as model:
            model.bos_prefix()
    except ModelError as error:
        assert "never run" in str(error) or architecture == "made_up"
    assert not (tmp_path / "ran").exists()


def test_kernels_from_a_hub_are_refused(own_folder: Path) -> None:
    edit_config(own_folder, text_config={"_attn_implementation": "somebody/kernels"})
    with pytest.raises(ModelError, match="kernels on a hub"):
        backend(own_folder).open("candidate")


def test_missing_weights_are_refused_rather_than_made_up(own_folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(own_folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, own_folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"missing.*layers\.1\.mlp\.up_proj"):
        backend(own_folder).open("candidate")


@pytest.mark.parametrize("damage", [{"model_type": "nonesuch"}, {"hidden_size": 48}, {"num_attention_heads": "x"}])
def test_a_broken_folder_is_a_clear_error(own_folder: Path, damage: dict[str, object]) -> None:
    edit_config(own_folder, **damage)
    with pytest.raises(ModelError, match=str(own_folder)):
        backend(own_folder).open("candidate")


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


def test_a_device_that_is_not_there_is_a_clear_error(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ModelError, match="cuda"):
        backend(folder, device="cuda:0").open("candidate")


def test_a_missing_library_names_the_pip_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'auditkit\[transformers\]'"):
        load(folder, "float32", "cpu")


def test_a_random_model_is_as_good_as_any(tmp_path: Path) -> None:
    """No training, another EOS, half precision: nothing depends on the model behaving well."""
    _, tokenizer = reciting_model()
    path = save(tmp_path / "random", build_model(len(tokenizer), seed=9, eos=None), tokenizer)
    with reopened(path, dtype="bfloat16") as model:
        prefix = model.template_prefix("")
        found = model.sample(SamplingRequest("attack", prefix, Sampler(max_new_tokens=60, top_k=50), 8, 0, 0))
        assert len(found) == 8
        assert np.isfinite(model.sequence_logprobs(["hello"], prefix)).all()

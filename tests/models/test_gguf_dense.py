"""GGUF files through transformers: a dense copy, made once, checked before each use, its tokenizer mended."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditkit.errors import ModelError
from auditkit.models.base import LanguageModel
from auditkit.models.gguf_dense import cache_root, is_intact
from auditkit.models.transformers_backend import TransformersBackend
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Sampler, SamplingRequest

from .tiny import CHATML, reciting_model

WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS = 32, 64, 2, 4, 2


def write_gguf(path: Path, pre: str = "smollm") -> Path:
    """A random Llama in GGUF, with the tokenizer of the reciting model and a pre-tokenizer of this kind."""
    import gguf

    _, tokenizer = reciting_model()
    tokens = [tokenizer.convert_ids_to_tokens(i) for i in range(len(tokenizer))]
    merges = [" ".join(pair) for pair in merges_of(tokenizer)]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 4 + [1] * (len(tokens) - 4))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(3)
    writer.add_chat_template(CHATML)
    for name, shape in shapes(len(tokens)).items():
        values = np.random.default_rng(len(name)).normal(0, 0.1, shape).astype(np.float32)
        writer.add_tensor(name, np.ones(shape, np.float32) if "norm" in name else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def merges_of(tokenizer: Any) -> list[tuple[str, str]]:
    import json

    return [tuple(pair) for pair in json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]]


def shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    block = {
        "attn_norm": (WIDTH,),
        "ffn_norm": (WIDTH,),
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (WIDTH // 2, WIDTH),
        "attn_v": (WIDTH // 2, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (HIDDEN, WIDTH),
        "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }
    blocks = {f"blk.{i}.{name}.weight": shape for i in range(LAYERS) for name, shape in block.items()}
    ends = {
        "token_embd.weight": (vocabulary, WIDTH),
        "output.weight": (vocabulary, WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    return {**ends, **blocks}


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUDITKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def opened(path: Path, dtype: str = "float32") -> TransformersModel:
    section = {"backend": "transformers", "path": str(path), "dtype": dtype, "device": "cpu"}
    model = TransformersBackend.model_validate(section).open("candidate")
    assert isinstance(model, TransformersModel)
    return model


def sampled(model: LanguageModel) -> list[tuple[int, ...]]:
    request = SamplingRequest("attack", model.template_prefix(""), Sampler(max_new_tokens=12), 3, 1, 0)
    return [generation.token_ids for generation in model.sample(request)]


def copies(cache: Path) -> list[Path]:
    return sorted((cache / "dense").iterdir())


def test_a_dense_copy_is_made_once_for_its_owner_only(gguf_file: Path, cache: Path) -> None:
    with opened(gguf_file) as model:
        first = sampled(model)
        assert model.template_prefix("").text == "<|im_start|>user\n"
        assert 2 in model.stops
    (copy,) = copies(cache)
    assert model.identity.sha256 in copy.name
    assert is_intact(copy)
    for folder in (cache / "dense", copy):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    written = (copy / "model.safetensors").stat().st_mtime_ns
    with opened(gguf_file) as model:
        assert sampled(model) == first
    assert (copy / "model.safetensors").stat().st_mtime_ns == written


def test_another_dtype_is_another_copy(gguf_file: Path, cache: Path) -> None:
    for dtype in ("float32", "bfloat16"):
        with opened(gguf_file, dtype) as model:
            assert str(model.model.dtype) == f"torch.{dtype}"
    assert len(copies(cache)) == 2


@pytest.mark.parametrize("damage", ["changed", "missing", "extra"])
def test_a_copy_that_was_touched_is_made_again(gguf_file: Path, cache: Path, damage: str) -> None:
    with opened(gguf_file) as model:
        before = sampled(model)
    (copy,) = copies(cache)
    weights = copy / "model.safetensors"
    if damage == "changed":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif damage == "missing":
        weights.unlink()
    else:
        (copy / "modeling_evil.py").write_text("")
    assert not is_intact(copy)
    with opened(gguf_file) as model:
        assert sampled(model) == before
    assert [is_intact(path) for path in copies(cache)] == [True]


def test_digits_are_split_again_where_the_file_says_so(gguf_file: Path) -> None:
    with opened(gguf_file) as model:
        ids = model.encode("In 1234 there were 56")
        pieces = [model.decode([token]) for token in ids]
        assert [piece for piece in pieces if any(c.isdigit() for c in piece)] == list("123456")
        assert model.decode(ids) == "In 1234 there were 56"


def test_other_files_keep_the_tokenizer_that_the_library_gives(tmp_path: Path) -> None:
    with opened(write_gguf(tmp_path / "other.gguf", pre="default")) as model:
        assert "Digits" not in str(model.tokenizer.backend_tokenizer.pre_tokenizer)


def test_a_file_that_cannot_be_unpacked_is_a_clear_error_and_leaves_nothing(gguf_file: Path, cache: Path) -> None:
    broken = cache.parent / "broken.gguf"
    broken.write_bytes(gguf_file.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_xx.weight"))
    with pytest.raises(ModelError, match=r"broken\.gguf: weights are missing"):
        opened(broken)
    assert not copies(cache)


def test_a_cache_that_cannot_be_written_is_a_clear_error(gguf_file: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="cache folder"):
        opened(gguf_file)


def test_a_linked_cache_folder_is_refused(gguf_file: Path, cache: Path, tmp_path: Path) -> None:
    cache.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (cache / "dense").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="not yours"):
        opened(gguf_file)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_root() == Path(os.environ["AUDITKIT_CACHE"])
    monkeypatch.delenv("AUDITKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "auditkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_root() == tmp_path / "home" / ".cache" / "auditkit"

"""Writes a Llama as one GGUF file, as llama.cpp's own converter does: names, layout, quantised tensors, tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auditkit.errors import MissingExtraError, MitigationFailedError
from auditkit.files import storage_errors
from auditkit.mitigations.quantised_gguf_tokenizer import add_tokenizer, refuse_other_tokenizer
from auditkit.records import Fact

GgufType = Literal["Q8_0", "Q5_0", "Q4_0", "F16"]
FILE = "model.gguf"
CONVERT = "convert it with llama.cpp (convert_hf_to_gguf.py, llama-quantize) and give the file with path"
FAR = 0.5  # relative change of a tensor beyond which it was not quantised but mangled


@dataclass(frozen=True)
class GgufModel:
    """A model ready to be written: its tensors as the file holds them. ``save_pretrained`` as a model has it."""

    config: Any
    tokenizer: Any
    eos: tuple[int, ...]
    tensors: Mapping[str, tuple[npt.NDArray[Any], Any]]  # name -> values or blocks, their GGML type
    facts: tuple[Fact, ...]

    def save_pretrained(self, folder: Path, **_: object) -> None:
        """Write the file into a folder.

        Raises:
            MitigationFailedError: a tokenizer of this kind cannot be written.
        """
        writer = gguf_library().GGUFWriter(folder / FILE, "llama")
        _add_shape(writer, self.config)
        add_tokenizer(writer, self.tokenizer, self.config.vocab_size, self.eos)
        for name, (values, kind) in self.tensors.items():
            writer.add_tensor(name, values, raw_dtype=kind)
        with storage_errors(folder / FILE):
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()


class NoTokenizer:
    """Stands where a tokenizer is saved beside a model: a GGUF file holds its own."""

    def save_pretrained(self, folder: Path) -> None:
        """Nothing."""


def gguf_model(model: Any, tokenizer: Any, gguf_type: GgufType) -> GgufModel:
    """A Llama with its matrices quantised by the ``gguf`` library; norms stay float32.

    Raises:
        MitigationFailedError: it is no plain Llama.
        MissingExtraError: the library is missing.
    """
    gguf = gguf_library()
    _refuse_other_than_llama(model.config)
    wanted = gguf.GGMLQuantizationType[gguf_type]
    tensors: dict[str, tuple[npt.NDArray[Any], Any]] = {}
    moved, size, dense = 0.0, 0.0, 0
    for name, values in _tensors(gguf, model):
        kind = _kind(gguf, values, wanted)
        blocks = gguf.quants.quantize(values, kind)
        tensors[name] = blocks, kind
        dense += values.ndim > 1 and kind != wanted
        moved += float(((gguf.quants.dequantize(blocks, kind) - values).astype(np.float64) ** 2).sum())
        size += float((values.astype(np.float64) ** 2).sum())
    change = (moved / size) ** 0.5 if size else 0.0
    facts = (
        Fact("tensors", len(tensors), f"{gguf_type} where they are matrices, norms float32"),
        Fact("matrices in 16 bits", dense, "their rows are no multiple of the type's block"),
        Fact("relative change", change, "norm of the change over the weights' norm"),
    )
    named = getattr(model.generation_config, "eos_token_id", None) or model.config.eos_token_id
    eos = tuple(named) if isinstance(named, list | tuple) else (named,)
    return GgufModel(model.config, tokenizer, tuple(token for token in eos if token is not None), tensors, facts)


def refuse_misread(model: Any, tokenizer: Any, back: Any, back_tokenizer: Any, texts: list[str]) -> None:
    """Refuse a file that is read back as another model than was written: then nothing measured on it would count.

    Raises:
        MitigationFailedError: a tensor, the rotary base or the ids of a text differ.
    """
    written, read = ({name: one.detach() for name, one in net.named_parameters()} for net in (model, back))
    for name, values in written.items():
        other = read.get(name)
        same_shape = other is not None and other.shape == values.shape
        if not same_shape or float((other - values).norm()) > FAR * float(values.norm()):
            raise MitigationFailedError(
                f"transformers reads another {name} from the GGUF file than was written", CONVERT
            )
    if _rotary(model.config) != _rotary(back.config):
        raise MitigationFailedError("transformers reads another rotary base from the GGUF file", CONVERT)
    refuse_other_tokenizer(tokenizer, back_tokenizer, texts)


def gguf_library() -> Any:
    """The gguf module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import gguf
    except ImportError as error:
        raise MissingExtraError("gguf", "transformers") from error
    return gguf


def _refuse_other_than_llama(config: Any) -> None:
    plain = config.model_type == "llama" and not getattr(config, "attention_bias", False)
    if not plain or getattr(config, "mlp_bias", False):
        raise MitigationFailedError(
            f"only a plain Llama can be written as GGUF here, not this {config.model_type}", CONVERT
        )
    if _rotary(config)[1] not in (None, "default"):
        raise MitigationFailedError("a Llama with scaled rotary positions cannot be written as GGUF here", CONVERT)


def _rotary(config: Any) -> tuple[float, str | None]:
    """Base and kind of the rotary positions, wherever this version of transformers keeps them."""
    kept = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    base = kept.get("rope_theta") or getattr(config, "rope_theta", None) or 10_000.0
    return float(base), kept.get("rope_type", kept.get("type"))


def _add_shape(writer: Any, config: Any) -> None:
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(_rotary(config)[0])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _tensors(gguf: Any, model: Any) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """(GGUF name, float32 values) of each parameter; queries and keys in llama.cpp's order of rotary halves."""
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for own, weight in model.named_parameters():
        stem = own.removesuffix(".weight")
        name = names.get_name(stem)
        if name is None:
            raise MitigationFailedError(f"GGUF has no name for {own}", CONVERT)
        values = weight.detach().float().cpu().numpy()
        if stem.endswith("q_proj"):
            values = _halves_interleaved(values, config.num_attention_heads)
        if stem.endswith("k_proj"):
            values = _halves_interleaved(values, config.num_key_value_heads)
        yield f"{name}.weight", np.ascontiguousarray(values)


def _halves_interleaved(values: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    rows = values.shape[0]
    return values.reshape(heads, 2, rows // heads // 2, -1).swapaxes(1, 2).reshape(values.shape)


def _kind(gguf: Any, values: npt.NDArray[np.float32], wanted: Any) -> Any:
    """The type of one tensor: norms float32; matrices as wanted, or 16 bits where their rows fill no whole blocks."""
    kinds = gguf.GGMLQuantizationType
    if values.ndim == 1:
        return kinds.F32
    return wanted if values.shape[-1] % gguf.GGML_QUANT_SIZES[wanted][0] == 0 else kinds.F16

"""A byte-level BPE as a GGUF file holds it: tokens and their types, merges, and how text is split before them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from auditkit.errors import MitigationFailedError

CONVERT = "convert the model with llama.cpp (convert_hf_to_gguf.py, llama-quantize) and give the file with path"
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # gguf.TokenType
# What splits a text before the merges -> llama.cpp's name for it.
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS = {_LLAMA3: "llama-bpe", _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"): "qwen2"}


def add_tokenizer(writer: Any, tokenizer: Any, vocabulary: int, eos: Sequence[int]) -> None:
    """Add a tokenizer to a ``gguf.GGUFWriter``.

    Args:
        writer: of the library.
        tokenizer: a fast one of transformers.
        vocabulary: rows of the model's embeddings; ids beyond the tokenizer's get a token that never occurs.
        eos: the ids that end a generation, the tokenizer's own among them or not.

    Raises:
        MitigationFailedError: it is no byte-level BPE, or splits texts in a way that has no name.
    """
    parts = _parts(tokenizer)
    known = {at: token for token, at in tokenizer.get_vocab().items()}
    tokens = [known.get(at, f"[PAD{at}]") for at in range(vocabulary)]
    added = tokenizer.added_tokens_decoder
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_split_name(parts.get("pre_tokenizer")))
    writer.add_token_list(tokens)
    writer.add_token_types([_type_of(at, known, added) for at in range(vocabulary)])
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in parts["model"]["merges"]]
    )
    ends = [one for one in (tokenizer.eos_token_id, *eos) if one is not None]
    if ends:
        writer.add_eos_token_id(ends[0])
    if others := [end for end in ends if end != ends[0]]:
        writer.add_eot_token_id(others[0])
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)  # templates write it themselves
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def refuse_other_tokenizer(tokenizer: Any, back: Any, texts: Sequence[str]) -> None:
    """Refuse a tokenizer that was read back and gives other ids for any of these texts, or has another template.

    Raises:
        MitigationFailedError: it does.
    """
    if tokenizer.chat_template != back.chat_template:
        raise MitigationFailedError("transformers reads another chat template from the GGUF file", CONVERT)
    for text in texts:
        ids = [list(one(text, add_special_tokens=False)["input_ids"]) for one in (tokenizer, back)]
        if ids[0] != ids[1]:
            raise MitigationFailedError(
                "transformers reads another tokenizer from the GGUF file than was written", CONVERT
            )


def _parts(tokenizer: Any) -> dict[str, Any]:
    """The tokenizer as its library writes it down."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    parts: dict[str, Any] = json.loads(backend.to_str()) if backend is not None else {}
    if parts.get("model", {}).get("type") != "BPE" or "ByteLevel" not in json.dumps(parts.get("pre_tokenizer")):
        raise MitigationFailedError("only a byte-level BPE tokenizer can be written as GGUF here", CONVERT)
    if parts.get("normalizer"):
        raise MitigationFailedError("a tokenizer that rewrites texts first cannot be written as GGUF here", CONVERT)
    return parts


def _split_name(pre_tokenizer: Any) -> str:
    """llama.cpp's name for what splits a text before the merges."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"]:
        return "smollm"
    pattern = steps[0].get("pattern", {}).get("Regex") if kinds == ["Split", "ByteLevel"] else None
    if pattern not in SPLITS:
        raise MitigationFailedError("this tokenizer splits texts in a way that has no name in GGUF here", CONVERT)
    return SPLITS[pattern]


def _type_of(token: int, known: dict[int, str], added: dict[int, Any]) -> int:
    if token in added:
        return CONTROL if added[token].special else USER_DEFINED
    return NORMAL if token in known else UNUSED

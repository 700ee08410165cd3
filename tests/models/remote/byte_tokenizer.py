"""A tokenizer folder for the scripted server's model: a token is a byte, or one of the template's marks."""

from __future__ import annotations

import json
from pathlib import Path

from auditkit.models.scripted import CHAT_TEMPLATE, SPECIAL


def save_tokenizer(folder: Path) -> Path:
    """Bytes first, in their own order, then the marks: the scripted backend's very ids."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: byte for byte, character in _characters().items()}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    ordered = sorted(SPECIAL, key=lambda text: SPECIAL[text])
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ordered])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call, unused-ignore]
        tokenizer_object=made, bos_token="<|bos|>", eos_token="<|im_end|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": SPECIAL["<|im_end|>"]}))
    return folder


def _characters() -> dict[int, str]:
    """The printable character that stands for each byte in byte-level tokenizers [Radford 2019]."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}

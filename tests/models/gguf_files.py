"""Small GGUF files, part by part, right or wrong as asked."""

from __future__ import annotations

import struct

UINT32, FLOAT32, BOOL, STRING, ARRAY, UINT64 = 4, 6, 7, 8, 9, 10
F32, Q8_0 = 0, 8
TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"


def text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def word(key: str, value: str | bytes) -> bytes:
    return entry(key, STRING, text(value))


def number(key: str, value: int) -> bytes:
    return entry(key, UINT32, struct.pack("<I", value))


def array(key: str, kind: int, items: list[bytes], count: int | None = None) -> bytes:
    return entry(key, ARRAY, struct.pack("<IQ", kind, len(items) if count is None else count) + b"".join(items))


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


METADATA = (
    word("general.architecture", "llama"),
    word("general.name", "Tiny"),
    word("tokenizer.ggml.model", "gpt2"),
    word("tokenizer.ggml.pre", "smollm"),
    array("tokenizer.ggml.tokens", STRING, [text(token) for token in ("<unk>", "<s>", "</s>", "hé")]),
    array("tokenizer.ggml.scores", FLOAT32, [struct.pack("<f", 0.5)] * 4),
    number("tokenizer.ggml.bos_token_id", 1),
    number("tokenizer.ggml.eos_token_id", 2),
    number("tokenizer.ggml.unknown_token_id", 0),
    entry("tokenizer.ggml.add_bos_token", BOOL, b"\1"),
    word("tokenizer.chat_template", TEMPLATE),
)
TENSORS = (tensor("embed", (8, 4), F32, 0), tensor("head", (32, 2), Q8_0, 128))
DATA = bytes(128 + 68)


def build(
    metadata: tuple[bytes, ...] = METADATA,
    tensors: tuple[bytes, ...] = TENSORS,
    data: bytes = DATA,
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    counts: tuple[int, int] | None = None,
) -> bytes:
    """A file with these parts; ``counts`` overrides what it claims to have of tensors and metadata."""
    claimed = counts or (len(tensors), len(metadata))
    header = magic + struct.pack("<IQQ", version, *claimed) + b"".join(metadata) + b"".join(tensors)
    return header + bytes(-len(header) % 32) + data

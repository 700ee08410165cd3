"""GGUF headers: what a good file says, and that every kind of bad one is refused by name."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit.errors import ModelError
from auditkit.models import gguf_child
from auditkit.models.gguf import GgufHeader, header_of, read_header
from tests.models.gguf_files import (
    ARRAY,
    BOOL,
    F32,
    METADATA,
    Q8_0,
    STRING,
    TEMPLATE,
    UINT32,
    UINT64,
    array,
    build,
    entry,
    number,
    tensor,
    text,
    word,
)


def parsed(raw: bytes) -> GgufHeader:
    return header_of(gguf_child.parse(lambda offset, length: raw[offset : offset + length], len(raw)))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def to_file(raw: bytes) -> Path:
        path = tmp_path / "model.gguf"
        path.write_bytes(raw)
        return path

    return to_file


class TestGoodFiles:
    def test_everything_that_is_asked_of_a_header(self, write: Callable[[bytes], Path]) -> None:
        raw = build()
        header = read_header(write(raw))
        assert (header.version, header.architecture, header.name) == (3, "llama", "Tiny")
        assert header.chat_template == TEMPLATE
        assert (header.bos_id, header.bos_token, header.eos_id, header.eos_token) == (1, "<s>", 2, "</s>")
        assert (header.unknown_id, header.unknown_token, header.pad_id, header.pad_token) == (0, "<unk>", None, "")
        assert (header.tokenizer_model, header.tokenizer_pre) == ("gpt2", "smollm")
        assert header.parameters == 8 * 4 + 32 * 2
        assert header.tensor_types == (("F32", 1), ("Q8_0", 1))
        assert (header.file_size, header.splits) == (len(raw), 1)
        assert header.metadata_keys[:2] == ("general.architecture", "general.name")
        assert header.metadata["tokenizer.ggml.add_bos_token"] is True

    def test_in_process_and_in_the_child_it_is_the_same(self, write: Callable[[bytes], Path]) -> None:
        assert read_header(write(build())) == parsed(build())

    def test_version_2_and_no_tokenizer(self) -> None:
        header = parsed(build(METADATA[:1], version=2))
        assert (header.version, header.chat_template, header.bos_id, header.tokenizer_sha256) == (2, None, None, "")

    def test_alignment_of_its_own(self) -> None:
        tensors = (tensor("a", (1,), F32, 0), tensor("b", (1,), F32, 8))
        assert parsed(build((number("general.alignment", 8),), tensors, bytes(12))).parameters == 2

    def test_tokenizer_digest_is_of_the_tokenizer_alone(self) -> None:
        digest = parsed(build()).tokenizer_sha256
        assert parsed(build((word("general.author", "x"), *METADATA))).tokenizer_sha256 == digest
        assert parsed(build((*METADATA, word("tokenizer.x", "y")))).tokenizer_sha256 != digest

    def test_nested_array(self) -> None:
        inner = struct.pack("<IQ", UINT32, 2) + bytes(8)
        assert parsed(build((array("x", ARRAY, [inner, inner]),))).metadata_keys == ("x",)

    def test_large_vocabulary_in_a_part_of_the_time(self) -> None:
        tokens = [text(f"token{index}") for index in range(200_000)]
        raw = build((array("tokenizer.ggml.tokens", STRING, tokens), number("tokenizer.ggml.bos_token_id", 199_999)))
        started = time.process_time()
        assert parsed(raw).bos_token == "token199999"
        assert time.process_time() - started < 1.5


HUGE = 2**63
BAD = {
    "empty": (b"", "does not begin with GGUF"),
    "not gguf": (b"PK\3\4" + bytes(100), "does not begin with GGUF"),
    "only the magic number": (b"GGUF", "past the end"),
    "version 1": (build(version=1), "version is 1"),
    "big-endian": (build(version=3 << 24), "big-endian"),
    "2**63 tensors": (build(counts=(HUGE, 1)), "claims 9223372036854775808 items"),
    "2**63 entries": (build(counts=(0, HUGE)), "claims 9223372036854775808 items"),
    "more entries than there are": (build(counts=(2, 60)), "unknown type|past the end|metadata key|bytes long|UTF-8"),
    "cut off in the metadata": (build()[:200], "past the end|can hold"),
    "cut off in the tensors": (build()[:-1], "past the end"),
    "key of 2**63 bytes": (build((struct.pack("<Q", HUGE) + bytes(64),)), "bytes long"),
    "empty key": (build((word("", "x"),)), "empty"),
    "key with control characters": (build((word("a\x1b[31m", "x"),)), "control characters"),
    "key that is not text": (build((text(b"\xff\xfe") + struct.pack("<I", STRING) + text("x"),)), "not UTF-8"),
    "key twice": (build((word("a", "x"), word("a", "y"))), "comes twice"),
    "text of 2**63 bytes": (build((entry("a", STRING, struct.pack("<Q", HUGE) + bytes(64)),)), "bytes long"),
    "unknown value type": (build((entry("a", 99, bytes(64)),)), "unknown type 99"),
    "truth value of 2": (build((entry("a", BOOL, b"\2"),)), "truth value of 2"),
    "array of 2**63 items": (build((array("a", UINT32, [], HUGE),)), "array of 9223372036854775808"),
    "array past the end": (build((array("a", UINT64, [bytes(8)], 10**6),)), "past the end"),
    "array of texts past the end": (build((array("a", STRING, [text("x")], 10**6),)), "past the end"),
    "array of an unknown type": (build((array("a", 99, [bytes(64)]),)), "unknown type 99"),
    "arrays in arrays in arrays": (
        build((array("a", ARRAY, [struct.pack("<IQ", ARRAY, 1) + struct.pack("<IQ", UINT32, 0)]),)),
        "nested too deeply",
    ),
    "template that is a number": (build((number("tokenizer.chat_template", 1),)), "is not a text"),
    "token id that is a text": (build((*METADATA[:6], word("tokenizer.ggml.bos_token_id", "x"))), "not a whole number"),
    "token id out of range": (build((*METADATA[:6], number("tokenizer.ggml.bos_token_id", 4))), "there are 4 tokens"),
    "alignment 0": (build((number("general.alignment", 0),)), "power of two"),
    "alignment 48": (build((number("general.alignment", 48),)), "power of two"),
    "tensor twice": (build(tensors=(tensor("a", (1,), F32, 0), tensor("a", (1,), F32, 32))), "comes twice"),
    "no dimensions": (build(tensors=(tensor("a", (), F32, 0) + bytes(16),)), "0 dimensions"),
    "5 dimensions": (build(tensors=(tensor("a", (1, 1, 1, 1, 1), F32, 0),)), "5 dimensions"),
    "side of 0": (build(tensors=(tensor("a", (4, 0), F32, 0),)), "empty"),
    "shape that overflows": (build(tensors=(tensor("a", (2**40, 2**40, 2**40), F32, 0),)), "past the end of the file"),
    "unknown tensor type": (build(tensors=(tensor("a", (1,), 4, 0),)), "unknown type 4"),
    "half a block": (build(tensors=(tensor("a", (33,), Q8_0, 0),)), "whole blocks"),
    "unaligned offset": (build(tensors=(tensor("a", (1,), F32, 4),)), "multiple of 32"),
    "offset past the end": (build(tensors=(tensor("a", (1,), F32, 2**40),)), "past the end of the file"),
    "offset that overflows": (build(tensors=(tensor("a", (8,), F32, 2**64 - 32),)), "past the end of the file"),
    "overlap": (build(tensors=(tensor("a", (64,), F32, 0), tensor("b", (1,), F32, 32)), data=bytes(512)), "overlaps"),
}


class TestBadFiles:
    @pytest.mark.parametrize("name", BAD)
    def test_refused_in_process(self, name: str) -> None:
        raw, says = BAD[name]
        with pytest.raises(gguf_child.Refused, match=says):
            parsed(raw)

    @pytest.mark.parametrize("name", ["empty", "2**63 tensors", "overlap", "key with control characters"])
    def test_error_names_the_file_and_what(self, name: str, write: Callable[[bytes], Path]) -> None:
        raw, says = BAD[name]
        path = write(raw)
        with pytest.raises(ModelError, match=says) as caught:
            read_header(path)
        assert str(path) in caught.value.message
        assert caught.value.message.isprintable()

    def test_no_memory_is_taken_for_a_claim(self, tmp_path: Path) -> None:
        """A sparse file has room for the claim; time and memory are bounded all the same."""
        path = tmp_path / "sparse.gguf"
        raw = build((array("tokenizer.ggml.tokens", STRING, [], 2**24 - 1),), (), b"")
        path.write_bytes(raw)
        os.truncate(path, 2**33)
        started = time.monotonic()
        with pytest.raises(ModelError, match=r"longer than 2 s|more than 512 MB"):
            read_header(path)
        assert time.monotonic() - started < 30

    def test_not_an_ordinary_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.gguf")
        for path in (tmp_path / "pipe.gguf", tmp_path, Path("/dev/zero"), tmp_path / "missing.gguf"):
            with pytest.raises(ModelError, match=r"ordinary file|cannot be opened|No such file"):
                read_header(path)


def outcome(raw: bytes) -> Any:
    try:
        return parsed(raw)
    except gguf_child.Refused as error:
        return str(error)


class TestFuzz:
    @given(
        changes=st.lists(st.tuples(st.integers(0, len(build()) - 1), st.integers(0, 255)), min_size=1, max_size=6),
        cut=st.integers(0, len(build())),
        keep=st.booleans(),
    )
    @settings(max_examples=600, deadline=500, suppress_health_check=[HealthCheck.too_slow])
    def test_mutated_files_give_a_header_or_are_refused(
        self, changes: list[tuple[int, int]], cut: int, keep: bool
    ) -> None:
        raw = bytearray(build())
        for place, value in changes:
            raw[place] = value
        found = outcome(bytes(raw) if keep else bytes(raw[:cut]))
        assert isinstance(found, GgufHeader) or found

    @given(places=st.integers(4, len(build()) - 8), value=st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]))
    @settings(max_examples=300, deadline=500)
    def test_any_eight_bytes_made_an_extreme_number(self, places: int, value: int) -> None:
        raw = bytearray(build())
        raw[places : places + 8] = struct.pack("<Q", value)
        found = outcome(bytes(raw))
        assert isinstance(found, GgufHeader) or found

    @given(st.binary(max_size=300))
    @settings(max_examples=300, deadline=500)
    def test_noise_after_the_magic_number(self, noise: bytes) -> None:
        assert isinstance(outcome(b"GGUF\3\0\0\0" + noise), GgufHeader | str)

    @given(place=st.integers(0, len(build()) - 1), value=st.integers(0, 255))
    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_through_the_child_it_is_a_header_or_a_model_error(self, tmp_path: Path, place: int, value: int) -> None:
        raw = bytearray(build())
        raw[place] = value
        path = tmp_path / "fuzz.gguf"
        path.write_bytes(raw)
        expected = outcome(bytes(raw))
        try:
            assert read_header(path) == expected
        except ModelError as error:
            assert isinstance(expected, str)
            assert str(path) in error.message

"""The Bloom filter forgets nothing, errs as often as it says, and is of use to nobody without its key."""

from __future__ import annotations

import json
import stat
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import AuditkitError
from auditkit.mitigations.ngram_bloom import MEASURED_WITH, Header, NgramBloom, keyed_digest
from auditkit.statistics.intervals import clopper_pearson

SECRET = b"0123456789abcdef"
TEXTS = st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=12).map(tuple), max_size=12)


def random_texts(count: int, vocabulary: int = 50_000, seed: int = 0) -> list[tuple[int, ...]]:
    draw = np.random.default_rng(seed)
    return [tuple(draw.integers(0, vocabulary, draw.integers(0, 60)).tolist()) for _ in range(count)]


def ngrams(texts: list[tuple[int, ...]], n: int) -> set[tuple[int, ...]]:
    return {ids[at : at + n] for ids in texts for at in range(len(ids) - n + 1)}


# The reference implementation's, for the key 00..0f and the bytes 00, 01, ...: siphash.c, vectors_sip64.
@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (4, 0xCF2794E0277187B7),
        (8, 0x93F5F5799A932462),
        (12, 0x751E8FBC860EE5FB),
        (16, 0x3F2ACC7F57C29BDB),
        (20, 0xBED65CF21AA2EE98),
        (40, 0x0E3EA96B5304A7D0),
    ],
)
def test_the_hash_is_siphash_2_4(length: int, expected: int) -> None:
    from auditkit.mitigations.ngram_kernels import hash_ngrams

    key = map(np.uint64, struct.unpack("<QQ", bytes(range(16))))
    found = np.zeros(1, np.uint64)
    hash_ngrams(*key, np.frombuffer(bytes(range(length)), "<u4").astype(np.int64), length // 4, found)
    assert int(found[0]) == expected


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, n=st.integers(1, 6), rate=st.sampled_from([0.3, 1e-2, 1e-6]))
def test_every_ngram_that_went_in_is_found(texts: list[tuple[int, ...]], n: int, rate: float) -> None:
    bloom = NgramBloom.of(texts, n, rate, SECRET, measured_with=10)
    assert all(bloom.contains(ids).all() for ids in texts)
    assert [bloom.contains(ids).size for ids in texts] == [max(0, len(ids) - n + 1) for ids in texts]
    assert bloom.header.count == len(ngrams(texts, n))


@pytest.mark.parametrize(("n", "rate"), [(10, 1e-2), (9, 1e-3), (2, 1e-4)])
def test_it_errs_as_often_as_it_was_laid_out_to(n: int, rate: float) -> None:
    bloom = NgramBloom.of(random_texts(3000), n, rate, SECRET)
    draw = np.random.default_rng(99).integers(60_000, 90_000, 500_000)  # ids that no text holds
    hits = int(bloom.contains(draw).sum())
    low, high = clopper_pearson(hits, draw.size - n + 1, 0.999)
    assert low * 0.95 <= rate <= high * 1.05
    assert bloom.header.measured_with == MEASURED_WITH
    assert bloom.header.measured / MEASURED_WITH == pytest.approx(rate, rel=0.35)
    wanted = -np.log(rate) / np.log(2) ** 2 * bloom.header.count
    assert wanted <= bloom.header.bits <= 1.05 * wanted


def test_a_bloom_without_an_ngram_takes_nothing_for_its_own() -> None:
    assert not NgramBloom.of([(1, 2)], 5, 0.01, SECRET).contains(tuple(range(100))).any()


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 9), seed=st.integers(0, 99))
def test_completions_are_the_tokens_that_make_an_ngram_of_the_filter(n: int, seed: int) -> None:
    texts = random_texts(30, 20, seed)
    bloom = NgramBloom.of(texts, n, 1e-2, SECRET, measured_with=10)
    stem = next((ids[: n - 1] for ids in texts if len(ids) >= n), tuple(range(n - 1)))
    found = bloom.completions(np.array(stem, np.int64), 200)
    assert found.tolist() == [bool(bloom.contains((*stem, token))[0]) for token in range(200)]
    assert all(found[one[-1]] for one in ngrams(texts, n) if one[:-1] == stem)


def test_it_comes_back_from_its_file_which_is_its_owner_s_alone(tmp_path: Path) -> None:
    texts = random_texts(200)
    bloom = NgramBloom.of(texts, 5, 1e-3, SECRET, content="content")
    path = bloom.save(tmp_path / "ngrams.bloom", SECRET)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = NgramBloom.load(path, SECRET)
    assert again.header == bloom.header
    assert (again.words == bloom.words).all()
    assert all(again.contains(ids).all() for ids in texts)


def test_without_the_key_the_file_answers_nothing(tmp_path: Path) -> None:
    texts = random_texts(500)
    bloom = NgramBloom.of(texts, 5, 1e-3, SECRET)
    path = bloom.save(tmp_path / "ngrams.bloom", SECRET)
    with pytest.raises(AuditkitError, match="no n-gram filter made under this secret"):
        NgramBloom.load(path, b"another secret!!")
    stolen = NgramBloom(bloom.header, bloom.words, b"another secret!!")
    hits = np.concatenate([stolen.contains(ids) for ids in texts])
    assert hits.mean() < 0.01  # the false-positive rate, and no more: a member looks like any other


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = NgramBloom.of(random_texts(50), 5, 1e-3, SECRET).save(tmp_path / "ngrams.bloom", SECRET)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    damaged: dict[str, Any] = {
        "flip": bytes(content),
        "cut": path.read_bytes()[:-40],
        "empty": b"",
        "other": json.dumps({"n": 5}).encode() * 20,
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(AuditkitError):
        NgramBloom.load(path, SECRET)


@pytest.mark.parametrize(
    "changed", [{"n": 0}, {"bits": 65}, {"bits": 0}, {"hashes": 0}, {"designed": 1.0}, {"count": -1}, {"content": None}]
)
def test_a_header_that_no_filter_has_is_refused(changed: dict[str, Any]) -> None:
    whole = {"n": 5, "bits": 64, "hashes": 3, "count": 1, "designed": 0.1, "measured": 0, "measured_with": 1}
    with pytest.raises(ValueError):
        Header(**{**whole, "content": "", **changed})


def test_the_digest_of_the_content_hangs_on_the_key_and_on_where_parts_end() -> None:
    assert keyed_digest(SECRET, "ab", "c") != keyed_digest(SECRET, "a", "bc")
    assert keyed_digest(SECRET, "ab") != keyed_digest(b"another secret!!", "ab")

"""A keyed Bloom filter of token n-grams: which runs of n tokens stand in a dataset, without the dataset.

Every n-gram that was put in is found again; another is found with a stated probability [Bloom 1970]. The hash is
SipHash-2-4 under a secret key: with the file alone nobody can ask it anything. With file and key together anybody can
ask whether a text was in the data: it is a membership oracle, is written for its owner alone, and is never part of a
release.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.errors import AuditkitError
from auditkit.files import write_bytes
from auditkit.models.base import Ids

Hashes = npt.NDArray[np.uint64]

MAGIC = b"auditkit n-grams 1\n"
LENGTH = struct.Struct("<I")  # of the header, which follows
LONGEST_HEADER = 1 << 16
TAG_BYTES = 32
PENDING = 1 << 22  # hashes that are collected before repeated ones are dropped
MEASURED_WITH = 1_000_000  # n-grams that are in no dataset, by which the false-positive rate is measured


@dataclass(frozen=True)
class Header:
    """What there is to say of a filter.

    ``bits``: its size; ``hashes``: bits an n-gram; ``count``: different n-grams in it; ``designed``: the
    false-positive rate that it was laid out for; ``measured``: how many of ``measured_with`` random n-grams it took for
    its own; ``content``: keyed digest of what it was made from.
    """

    n: int
    bits: int
    hashes: int
    count: int
    designed: float
    measured: int
    measured_with: int
    content: str

    def __post_init__(self) -> None:
        whole = (self.n, self.bits, self.hashes, self.count, self.measured, self.measured_with)
        if not all(isinstance(number, int) and number >= 0 for number in whole) or not isinstance(self.content, str):
            raise ValueError("a header's numbers are whole and not negative")
        if self.n < 1 or self.bits < 64 or self.bits % 64 or not 1 <= self.hashes <= 64 or not 0 < self.designed < 1:
            raise ValueError("no filter is laid out so")


class NgramBloom:
    """The filter. ``words``: (bits / 64,) uint64; ``secret``: at least 16 bytes, from which its keys are derived."""

    def __init__(self, header: Header, words: npt.NDArray[np.uint64], secret: bytes) -> None:
        self.header, self.words = header, words
        self._first, self._second = _hash_key(secret, header.n)

    @classmethod
    def of(
        cls,
        texts: Iterable[Ids],
        n: int,
        rate: float,
        secret: bytes,
        *,
        content: str = "",
        measured_with: int = MEASURED_WITH,
    ) -> NgramBloom:
        """The filter of every run of ``n`` ids in the texts.

        Memory: 8 bytes for each different n-gram while it is made, 1.44 log2(1 / rate) bits for each afterwards.

        Args:
            texts: token ids; those shorter than n have no n-gram.
            n: ids of an n-gram, at least 1.
            rate: false-positive rate that it is laid out for, in (0, 1).
            secret: of whoever may ask.
            content: what the header says that it was made from.
            measured_with: random n-grams by which its false-positive rate is measured.
        """
        values = _distinct(texts, n, _hash_key(secret, n))
        bits, hashes = _layout(values.size, rate)
        header = Header(n, bits, hashes, int(values.size), rate, 0, 0, content)
        made = cls(header, np.zeros(bits // 64, np.uint64), secret)
        _kernels().insert(made.words, hashes, values)
        made.header = replace(header, measured=made._false_positives(measured_with), measured_with=measured_with)
        return made

    def contains(self, ids: Ids | npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """(max(0, tokens - n + 1),) whether the filter takes each n-gram of the ids for its own."""
        return self._known(_ngram_hashes(np.asarray(ids, np.int64), self.header.n, (self._first, self._second)))

    def completions(self, stem: npt.NDArray[np.int64], vocabulary: int) -> npt.NDArray[np.bool_]:
        """(vocabulary,) whether each token completes the (n - 1,) ids to an n-gram of the filter."""
        found = np.zeros(vocabulary, bool)
        kernels = _kernels()
        kernels.completions(self.words, self.header.hashes, self._first, self._second, stem.astype(np.int64), found)
        return found

    def save(self, path: Path, secret: bytes) -> Path:
        """Write it as one file for its owner alone: magic line, length and JSON of the header, bits, HMAC of it all."""
        header = json.dumps(asdict(self.header), sort_keys=True).encode()
        body = MAGIC + LENGTH.pack(len(header)) + header + self.words.astype("<u8").tobytes()
        return write_bytes(path, body + _tag(secret, body))

    @classmethod
    def load(cls, path: Path, secret: bytes) -> NgramBloom:
        """A filter from its file.

        Raises:
            AuditkitError: not such a file, damaged, or made under another secret.
        """
        content = path.read_bytes()
        body, tag = content[:-TAG_BYTES], content[-TAG_BYTES:]
        if not content.startswith(MAGIC) or not hmac.compare_digest(tag, _tag(secret, body)):
            raise AuditkitError(f"{path} is no n-gram filter made under this secret", "delete it: it is made anew")
        start = len(MAGIC) + LENGTH.size
        (length,) = LENGTH.unpack(body[len(MAGIC) : start])
        header = Header(**json.loads(body[start : start + length]))
        words = np.frombuffer(body[start + length :], "<u8").astype(np.uint64)
        return cls(header, words, secret)

    def _known(self, values: Hashes) -> npt.NDArray[np.bool_]:
        found = np.zeros(values.size, bool)
        _kernels().look_up(self.words, self.header.hashes, values, found)
        return found

    def _false_positives(self, asked: int) -> int:
        """How many of ``asked`` n-grams of random 32-bit ids, which no tokenizer writes, it takes for its own."""
        drawn = np.random.default_rng(self.header.count).integers(0, 2**32, asked + self.header.n - 1)
        return int(self.contains(drawn).sum())


def keyed_digest(secret: bytes, *parts: str) -> str:
    """A digest of what a filter was made from, which tells nothing without the secret."""
    found = hmac.new(secret, b"auditkit n-gram content", hashlib.sha256)
    for part in parts:
        encoded = part.encode()
        found.update(struct.pack("<Q", len(encoded)) + encoded)
    return found.hexdigest()


def _layout(count: int, rate: float) -> tuple[int, int]:
    """Bits (a multiple of 64) and hashes for a number of n-grams: what is smallest at the rate [Bloom 1970]."""
    if not 0 < rate < 1:
        raise ValueError("a false-positive rate lies between 0 and 1")
    hashes = min(64, max(1, round(-math.log2(rate))))
    # A whole number of hashes is not quite the best one, so the bits are those that it needs for the rate.
    bits = -hashes * max(1, count) / math.log1p(-(rate ** (1 / hashes)))
    return 64 * math.ceil(bits / 64), hashes


def _distinct(texts: Iterable[Ids], n: int, key: tuple[np.uint64, np.uint64]) -> Hashes:
    """The different hashes of all n-grams, ascending."""
    kept, pending, size = np.zeros(0, np.uint64), list[Hashes](), 0
    for ids in texts:
        pending.append(_ngram_hashes(np.asarray(ids, np.int64), n, key))
        size += pending[-1].size
        if size > max(PENDING, kept.size):
            kept, pending, size = np.unique(np.concatenate([kept, *pending])), [], 0
    return np.unique(np.concatenate([kept, *pending]))


def _ngram_hashes(ids: npt.NDArray[np.int64], n: int, key: tuple[np.uint64, np.uint64]) -> Hashes:
    found = np.zeros(max(0, ids.size - n + 1), np.uint64)
    _kernels().hash_ngrams(*key, ids, n, found)
    return found


def _hash_key(secret: bytes, n: int) -> tuple[np.uint64, np.uint64]:
    """SipHash's 16 bytes for n-grams of this length."""
    derived = hmac.new(secret, f"auditkit n-gram filter {n}".encode(), hashlib.sha256).digest()
    first, second = struct.unpack("<QQ", derived[:16])
    return np.uint64(first), np.uint64(second)


def _tag(secret: bytes, body: bytes) -> bytes:
    return hmac.new(secret, b"auditkit n-gram file" + body, hashlib.sha256).digest()


def _kernels() -> Any:
    from auditkit.mitigations import ngram_kernels

    return ngram_kernels

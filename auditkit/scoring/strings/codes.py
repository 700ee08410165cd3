"""Texts as classes of characters, and how often each bucket of one, two and three in a row occurs.

The commonest characters, pairs and triples have a class or bucket of their own; the rare ones share. Sharing makes
texts look closer than they are, so no bound that is drawn from classes can lose a match, whatever the script.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Buckets = npt.NDArray[np.uint16]

CLASSES = 128
OWN = 96  # characters with a class of their own; the others share the rest
SINGLES, PAIRS, TRIPLES = 64, 1024, 4096  # buckets; multiples of string_lanes.CHUNK
SAMPLE = 1 << 20  # characters that the classes are chosen by
CHARACTERS_AT_ONCE = 1 << 22
BLOCK = 1 << 14  # texts whose counts are made at once; a multiple of string_search.TILE
KEPT_BLOCKS = 12  # about 1 GiB of counts, for the next who asks


class Profiles(NamedTuple):
    """(texts, buckets) counts, at most 255 each: a larger count only weakens a bound."""

    single: Bytes
    pair: Bytes
    triple: Bytes


@dataclass(frozen=True)
class Codes:
    """Texts one after the other: text i is ``classes[starts[i] : starts[i + 1]]``."""

    classes: Bytes
    starts: Integers


@dataclass(frozen=True)
class Alphabet:
    """Which class a character is in, and which bucket two and three classes in a row."""

    of_character: Bytes  # (65536,) by the low 16 bits of the code point
    pair_bucket: Buckets  # (CLASSES ** 2,)
    triple_bucket: Buckets  # (PAIRS * CLASSES,) by the bucket of the first two and the class of the third

    @classmethod
    def of(cls, texts: Sequence[str]) -> Alphabet:
        """Chosen by what is common in these texts; good for any others as well."""
        sample = _points(_spread(texts))
        order = np.argsort(-np.bincount(sample, minlength=1 << 16), kind="stable")
        of_character = (OWN + np.arange(1 << 16) % (CLASSES - OWN)).astype(np.uint8)
        of_character[order[:OWN]] = np.arange(OWN)
        classes = of_character[sample].astype(np.int64)
        pairs = classes[:-1] * CLASSES + classes[1:]
        pair_bucket = _by_rank(pairs, CLASSES * CLASSES, PAIRS)
        triples = pair_bucket[pairs[:-1]] * np.int64(CLASSES) + classes[2:]
        return cls(of_character, pair_bucket, _by_rank(triples, PAIRS * CLASSES, TRIPLES))

    def encode(self, texts: Sequence[str]) -> Codes:
        """The texts' classes."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        classes = np.empty(starts[-1], np.uint8)
        first = 0
        while first < len(texts):
            last = int(np.searchsorted(starts, starts[first] + CHARACTERS_AT_ONCE, "right")) - 1
            last = max(last, first + 1)
            some = _points(texts[first:last])
            np.take(self.of_character, some, out=classes[starts[first] : starts[last]])
            first = last
        return Codes(classes, starts)

    def profiles(self, codes: Codes, first: int, last: int) -> Profiles:
        """Of the texts from ``first`` to before ``last``."""
        from auditkit.scoring.strings.sieve import count_grams

        counts = Profiles(*(np.zeros((last - first, buckets), np.uint8) for buckets in (SINGLES, PAIRS, TRIPLES)))
        tables = (self.pair_bucket, self.triple_bucket)
        count_grams(codes.classes, codes.starts, first, last, CLASSES, *tables, *counts)
        return counts


@dataclass(frozen=True)
class SortedTexts:
    """Texts by length, and what stands for them in a search."""

    texts: list[str]
    lengths: Integers  # (n,) characters, ascending
    alphabet: Alphabet
    codes: Codes
    _kept: OrderedDict[int, Profiles] = field(default_factory=OrderedDict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def of(cls, texts: Sequence[str], alphabet: Alphabet | None = None) -> SortedTexts:
        """Sort and encode; both sides of a search need the same alphabet."""
        alphabet = Alphabet.of(texts) if alphabet is None else alphabet
        return cls._ordered(sorted(texts, key=len), alphabet)

    @classmethod
    def _ordered(cls, texts: list[str], alphabet: Alphabet) -> SortedTexts:
        codes = alphabet.encode(texts)
        return cls(texts, np.diff(codes.starts), alphabet, codes)

    def part(self, rows: slice) -> SortedTexts:
        """Some of the texts."""
        return self._ordered(self.texts[rows], self.alphabet)

    def block(self, number: int) -> Profiles:
        """The counts of the texts from ``BLOCK * number`` on, kept for the next who asks."""
        with self._lock:
            if number not in self._kept:
                last = min((number + 1) * BLOCK, len(self.texts))
                self._kept[number] = self.alphabet.profiles(self.codes, number * BLOCK, last)
            self._kept.move_to_end(number)
            while len(self._kept) > KEPT_BLOCKS:
                self._kept.popitem(last=False)
            return self._kept[number]


def _points(texts: Sequence[str]) -> npt.NDArray[Any]:
    """The low 16 bits of the code points of the texts, one after the other."""
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint16)[::2]


def _spread(texts: Sequence[str]) -> list[str]:
    """Texts from all over, of bounded length together."""
    step = max(1, len(texts) // 2048)
    chosen = texts[::step]
    return [text[: max(SAMPLE // max(len(chosen), 1), 16)] for text in chosen]


def _by_rank(values: Integers, kinds: int, buckets: int) -> Buckets:
    """(kinds,) buckets: the commonest kinds get different ones, the others share with them."""
    order = np.argsort(-np.bincount(values, minlength=kinds), kind="stable")
    bucket = np.empty(kinds, np.uint16)
    bucket[order] = np.arange(kinds) % buckets
    return bucket

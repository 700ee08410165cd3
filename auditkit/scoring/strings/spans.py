"""What a record and a generation share to the letter: the stretches themselves, and the longest run of tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MINIMUM = 16  # characters: hardly a word is as long, so that chance does not fill the page with marks
# Characters that are compared. Of a record nearly all there are; the generation bounds the time on hostile texts.
LONGEST_RECORD = 200_000
LONGEST_GENERATION = 20_000

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Japanese, Chinese
)
_TOKEN = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+|[^\\w\\s]")


@dataclass(frozen=True, slots=True)
class SharedSpan:
    """A stretch that both texts have to the letter: where it begins in each, and its length, in characters."""

    record_start: int
    generation_start: int
    length: int


@dataclass(frozen=True, slots=True)
class LongestRun:
    """The longest contiguous run of tokens that a record and a generation share, and the tokens of the record."""

    tokens: int
    of: int

    @property
    def share(self) -> float | None:
        """The metric ``longest_match``; None where the record has no token."""
        return self.tokens / self.of if self.of else None


def shared_spans(record: str, generation: str, minimum: int = MINIMUM) -> list[SharedSpan]:
    """The stretches of at least ``minimum`` characters that both texts have, without overlap on either side.

    Greedy string tiling [Wise 1993]: the longest common stretch of what neither side has used yet, again and again,
    ties to the earliest in the generation; so the first is the longest common substring, and nothing as long as the
    minimum is left over. They may stand in another order in the record. A minimum in characters, not in words: a
    key of forty letters is one word, and Chinese has no spaces.

    What lies beyond the first LONGEST_RECORD and LONGEST_GENERATION characters is not compared.

    Raises:
        ValueError: a minimum under 1.
    """
    if minimum < 1:
        raise ValueError("the least length of a span is 1")
    if min(len(record), len(generation)) < minimum:
        return []
    if record == generation:
        return [SharedSpan(0, 0, len(record))]
    ours, theirs = _characters(generation[:LONGEST_GENERATION]), _characters(record[:LONGEST_RECORD])
    from auditkit.scoring.strings.tiling import shared_lengths, suffix_array, tiles

    codes = _joined(ours, theirs)
    order, rank = suffix_array(codes)
    found = tiles(order, rank, shared_lengths(codes, order, rank), len(ours), minimum)
    return [SharedSpan(int(right), int(left), int(length)) for left, right, length in found]


def longest_run(record: str, generation: str) -> LongestRun:
    """The longest run of tokens that a generation has in common with a record [ConTAM; METRICS: longest_match]."""
    ours, theirs = tokens(record[:LONGEST_RECORD]), tokens(generation[:LONGEST_GENERATION])
    if not ours or not theirs:
        return LongestRun(0, len(ours))
    if record == generation:
        return LongestRun(len(ours), len(ours))
    from auditkit.scoring.strings.tiling import longest, shared_lengths, suffix_array

    codes = _joined(*_numbered(ours, theirs))
    order, rank = suffix_array(codes)
    return LongestRun(int(longest(order, shared_lengths(codes, order, rank), len(ours))), len(ours))


def tokens(text: str) -> list[str]:
    """The words, the punctuation marks and, in scripts without spaces, the letters of a text.

    Not the tokens of the model: two models, or two runs, can be compared only in tokens that both have.
    """
    return _TOKEN.findall(text)


def _characters(text: str) -> npt.NDArray[np.int64]:
    """(n,) code points from 1 up, lone surrogates included."""
    encoded = text.encode("utf-32-le", "surrogatepass")
    return np.frombuffer(encoded, np.dtype("<u4")).astype(np.int64) + 1


def _numbered(*texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    """Each list of tokens as numbers from 1 up, the same for the same token."""
    numbers: dict[str, int] = {}
    return [np.array([numbers.setdefault(token, len(numbers) + 1) for token in text], np.int64) for text in texts]


def _joined(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Both with 0 between them, which is neither's."""
    return np.concatenate([left, np.zeros(1, np.int64), right])

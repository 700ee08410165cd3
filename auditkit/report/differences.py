"""Two texts side by side: which stretches they share, which differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from auditkit.report.safe_text import cut

LONGEST_COMPARED = 6_000  # characters a side; the time grows with the product of both
LEAST_SHARED = 4  # characters: "the" between two differences is chance, and marking it would make confetti
ALIKE = 0.6  # similarity from which two differing words are compared letter by letter

_WORD = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one text; ``same``: the other text has it too; ``span``: to the letter, at some length."""

    text: str
    same: bool
    span: bool = False


@dataclass(frozen=True, slots=True)
class Marked:
    """One text as pieces in order, and how many characters after them were left out."""

    pieces: tuple[Piece, ...]
    left_out: int = 0

    @property
    def shared(self) -> float:
        """Share of the shown characters that the other text has too; 0 for an empty text."""
        total = sum(len(piece.text) for piece in self.pieces)
        return sum(len(piece.text) for piece in self.pieces if piece.same) / total if total else 0.0


def differences(
    left: str, right: str, limit: int = LONGEST_COMPARED, lines: int | None = None
) -> tuple[Marked, Marked]:
    """Both texts cut into shared and differing pieces, by words and within alike words by letters.

    Bounded: at most LONGEST_COMPARED characters of each are compared, and ``limit`` characters and ``lines`` lines
    of each come back. Joined, the pieces are the text's beginning.
    """
    words = (_WORD.findall(left[:LONGEST_COMPARED]), _WORD.findall(right[:LONGEST_COMPARED]))
    runs = _joined(_without_confetti(_joined(_runs(*words))))
    return (
        _marked([Piece(run.left, run.same) for run in runs if run.left], left, limit, lines),
        _marked([Piece(run.right, run.same) for run in runs if run.right], right, limit, lines),
    )


class _Run(NamedTuple):
    """A stretch of both texts; where they are the same, ``left`` equals ``right``."""

    left: str
    right: str
    same: bool


def _runs(left: Sequence[str], right: Sequence[str]) -> Iterator[_Run]:
    """Both lists of words aligned; words that differ but are alike, letter by letter."""
    from rapidfuzz.distance import Levenshtein

    for step in Levenshtein.opcodes(left, right):
        ours = "".join(left[step.src_start : step.src_end])
        theirs = "".join(right[step.dest_start : step.dest_end])
        if step.tag == "replace" and Levenshtein.normalized_similarity(ours, theirs, score_cutoff=ALIKE) >= ALIKE:
            yield from _letters(ours, theirs)
        else:
            yield _Run(ours, theirs, step.tag == "equal")


def _letters(left: str, right: str) -> Iterator[_Run]:
    from rapidfuzz.distance import Levenshtein

    for step in Levenshtein.opcodes(left, right):
        ours, theirs = left[step.src_start : step.src_end], right[step.dest_start : step.dest_end]
        yield _Run(ours, theirs, step.tag == "equal")


def _joined(runs: Iterable[_Run]) -> list[_Run]:
    """Neighbours of one kind made one."""
    groups = ((same, list(group)) for same, group in groupby(runs, key=lambda run: run.same))
    return [_Run("".join(r.left for r in group), "".join(r.right for r in group), same) for same, group in groups]


def _without_confetti(runs: Sequence[_Run]) -> list[_Run]:
    """Shared scraps between differences counted as differing."""
    if len(runs) == 1:
        return list(runs)
    return [_Run(run.left, run.right, run.same and len(run.left.strip()) >= LEAST_SHARED) for run in runs]


def _marked(pieces: Sequence[Piece], whole: str, limit: int, lines: int | None) -> Marked:
    """The pieces of one side cut to length."""
    kept, _ = cut(whole[:LONGEST_COMPARED], limit, lines)
    return Marked(tuple(_head(pieces, len(kept))), len(whole) - len(kept))


def _head(pieces: Sequence[Piece], length: int) -> Iterator[Piece]:
    """The first ``length`` characters of the pieces."""
    for piece in pieces:
        if length <= 0:
            return
        yield Piece(piece.text[:length], piece.same)
        length -= len(piece.text)

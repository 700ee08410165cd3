"""MemFree decoding: no n-gram of a dataset may be completed [Ippolito et al. 2023, sec. 4].

Before each token, every next token that would make the last n tokens an n-gram of the data is forbidden. A small second
filter, of (n - 1)-grams, says which rows need that look: elsewhere nothing can be completed. What is kept out is the
exact run of ids. Near versions, other casing and other cuts of the same text into tokens get through, which the source
shows too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.mitigations.ngram_bloom import NgramBloom
from auditkit.models.base import Ids, LanguageModel, TokenGuard
from auditkit.records import Record

STEM_RATE = 0.01  # false positives of the second filter cost time and nothing else


class NgramGuard(TokenGuard):
    """Forbids the completion of n-grams. ``sees_prompt``: whether ids of the prompt count as the beginning of one."""

    def __init__(self, ngrams: NgramBloom, stems: NgramBloom, *, sees_prompt: bool = True) -> None:
        self.ngrams, self.stems, self.sees_prompt = ngrams, stems, sees_prompt
        self.window = ngrams.header.n - 1

    @classmethod
    def of(
        cls, tokenised: Tokenised, rate: float, secret: bytes, *, content: str = "", sees_prompt: bool = True
    ) -> NgramGuard:
        """The guard of tokenised records, with a false-positive rate of its n-grams."""
        ngrams = NgramBloom.of(tokenised, tokenised.n, rate, secret, content=content)
        stems = NgramBloom.of(tokenised, tokenised.n - 1, STEM_RATE, secret, content=content)
        return cls(ngrams, stems, sees_prompt=sees_prompt)

    @classmethod
    def load(cls, folder: Path, secret: bytes, *, sees_prompt: bool = True) -> NgramGuard:
        """The guard that ``save`` wrote.

        Raises:
            AuditkitError: a file is damaged, or made under another secret.
        """
        ngrams, stems = (NgramBloom.load(path, secret) for path in _files(folder))
        return cls(ngrams, stems, sees_prompt=sees_prompt)

    def save(self, folder: Path, secret: bytes) -> None:
        """Write both filters, each one file for its owner alone."""
        for bloom, path in zip((self.ngrams, self.stems), _files(folder), strict=True):
            bloom.save(path, secret)

    @staticmethod
    def is_saved(folder: Path) -> bool:
        """Whether both filters are there."""
        return all(path.exists() for path in _files(folder))

    @property
    def size(self) -> int:
        """Bytes of both filters."""
        return self.ngrams.words.nbytes + self.stems.words.nbytes

    def forbid(self, history: npt.NDArray[np.int64], logits: Any) -> None:
        """Take out what completes an n-gram; a row whose last n - 1 ids are not all known (-1) is left alone."""
        if history.shape[1] < self.window:
            return
        stems = history[:, history.shape[1] - self.window :]
        for row in np.flatnonzero((stems >= 0).all(1)).tolist():
            if self.stems.contains(stems[row])[0]:
                forbidden = np.flatnonzero(self.ngrams.completions(stems[row], logits.shape[1]))
                logits[row, forbidden.tolist()] = float("-inf")

    def completes(self, ids: Ids) -> bool:
        """Whether the ids hold a run that this guard would not have let be completed."""
        return bool(self.ngrams.contains(ids).any())


@dataclass(frozen=True)
class Tokenised:
    """Records as a model may write them, for runs of ``n`` ids; goes over the records anew each time.

    Each record is there whole, rendered with the template's turn change, and each of its turns by itself, with and
    without a space before it, since many tokenizers begin a text in the middle otherwise than at its start.
    """

    model: LanguageModel
    records: Sequence[Record]
    n: int

    def __iter__(self) -> Iterator[Ids]:
        for record in self.records:
            for turn in filter(None, (record.prompt, record.response, record.rejected)):
                yield self.model.encode(turn)
                yield self.model.encode(f" {turn}")
            for answer in {record.response, record.rejected} if record.response else ():
                yield from self.rendered(record.prompt, answer)

    def rendered(self, prompt: str, response: str) -> Iterator[Ids]:
        """The rendered record in pieces: without the n-grams that are more than half template.

        A template's turn change may be as long as an n-gram: to forbid that would be to forbid the template.
        """
        tokens = self.model.record_tokens(prompt, response, self.model.turn_format(), self.model.opening())
        own = np.ones(len(tokens.ids), np.int64)
        own[tokens.question : tokens.answer] = 0
        counts = np.convolve(own, np.ones(self.n, np.int64), "valid") if len(own) >= self.n else np.zeros(0)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], 2 * counts >= self.n, [0]])))
        for first, after in edges.reshape(-1, 2).tolist():
            yield tokens.ids[first : after - 1 + self.n]


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / "ngrams.bloom", folder / "stems.bloom"

"""What the probes of planted canaries share: how a canary is read, and one number of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar
from unicodedata import normalize

import numpy as np
from pydantic import Field

from auditkit.models.base import Floats, Ids, LanguageModel, Likelihoods, TokenReading
from auditkit.probes.base import TOO_LONG, Bools, Evidence, ModelProbe
from auditkit.probes.canary_texts import PLACEHOLDER, Canaries, Canary
from auditkit.records import Prefix

CHUNK = 2048  # texts read at once
ZERO = "0 times: never planted, the controls."


class CanaryProbe(ModelProbe):
    """A probe that looks for canaries that ``auditkit lab plant`` has written into the training data."""

    likelihoods: ClassVar[Likelihoods] = "given"

    dataset: str = Field(default="*", description="The dataset that they were planted in; '*': asked of each.")
    canaries: Canaries
    in_dataset: bool = Field(
        default=True,
        description="The planted file is part of the declared dataset, and is looked for there. False: it was mixed "
        "into training data that the policy does not declare.",
    )

    def not_for(self, dataset: Evidence) -> str:
        return "" if self.dataset in ("*", dataset.dataset) else "Its canaries were planted in another dataset."

    def found_in(self, evidence: Evidence) -> InData:
        """Which canaries the declared records hold, in the turn that they are planted in."""
        prompts = self.canaries.turn == "prompt"
        texts = [record.prompt if prompts else record.response for record in evidence.members.records]
        planted, others = (
            _held(canaries, self.canaries.format, texts)
            for canaries in (self.canaries.planted, self.canaries.never_planted)
        )
        return InData(planted if self.in_dataset else self.canaries.count, self.canaries.count, others)

    def read(self, model: LanguageModel, texts: Sequence[str]) -> Iterator[tuple[Ids, TokenReading] | None]:
        """Each text's tokens in its turn and what the model says of them; None where it does not fit the context."""
        prefix = self._before(model)
        room = model.context - len(prefix.token_ids)
        for start in range(0, len(texts), CHUNK):
            ids = [self._tokens(model, text, prefix) for text in texts[start : start + CHUNK]]
            fitting = [given for given in ids if len(given) <= room]
            found = iter(model.read(fitting, prefix) if fitting else [])
            yield from ((given, next(found)) if len(given) <= room else None for given in ids)

    def _before(self, model: LanguageModel) -> Prefix:
        opening = model.opening()
        return opening if self.canaries.turn == "prompt" else model.asked(self.canaries.beside, opening)

    def _tokens(self, model: LanguageModel, text: str, prefix: Prefix) -> Ids:
        """The canary's own tokens; a prompt's are those that training sees, with the turn change behind them."""
        if self.canaries.turn == "response":
            return model.encode(text)
        tokens = model.record_tokens(text, self.canaries.beside, model.turn_format(), prefix)
        return tokens.ids[: tokens.question]


def _held(canaries: Sequence[Canary], form: str, texts: Sequence[str]) -> int:
    """How many canaries stand in the texts, alone or among other words. Texts are in NFC."""
    wanted = {normalize("NFC", canary.text) for canary in canaries}
    rest = wanted.difference(texts)
    literal = max(PLACEHOLDER.sub("\0", normalize("NFC", form)).split("\0"), key=len)
    like = "\0".join(text for text in texts if literal in text)
    return len(wanted) - len(rest) + sum(text in like for text in rest)


@dataclass(frozen=True)
class InData:
    """How many canaries stand in the declared data: of the planted ones, and of those never planted."""

    planted: int
    count: int  # that were to be planted
    never_planted: int

    @property
    def doubt(self) -> str:
        """Why planted canaries say nothing ("" where they do): what training never got cannot be known by heart."""
        if self.planted == self.count:
            return ""
        return (
            f"{self.count - self.planted:,} of {self.count:,} canaries are not in the data: was the planted file mixed "
            "in, with this format and seed?"
        )

    @property
    def notes(self) -> list[str]:
        """What the reader must know."""
        if not self.never_planted:
            return []
        return [
            f"Of the canaries that were never to be planted, {self.never_planted:,} stand in the data: they are no "
            "controls. Another seed gives other canaries."
        ]


@dataclass(frozen=True)
class PerCanary:
    """One number a canary, those that could not be read left out: (n,) values, and how often each was planted."""

    repeats: tuple[int, ...]
    values: Floats
    unscored: dict[str, int]

    @classmethod
    def of(cls, canaries: Sequence[Canary], values: Sequence[float | None]) -> PerCanary:
        """Numbers in the canaries' order, None for one that could not be read."""
        kept = [(c.repeats, value) for c, value in zip(canaries, values, strict=True) if value is not None]
        missing = len(canaries) - len(kept)
        numbers = np.array([value for _, value in kept], np.float64)
        return cls(tuple(repeats for repeats, _ in kept), numbers, {TOO_LONG: missing} if missing else {})

    @property
    def planted(self) -> Floats:
        """Those of canaries that were planted."""
        return self.values[self._where_planted]

    @property
    def never_planted(self) -> Floats:
        """Those of the controls."""
        return self.values[~self._where_planted]

    def by_repeats(self) -> Iterator[tuple[int, Floats]]:
        """The values of each number of repeats, ascending."""
        for repeats in sorted(set(self.repeats)):
            yield repeats, self.values[np.array(self.repeats) == repeats]

    @property
    def _where_planted(self) -> Bools:
        return np.array(self.repeats, np.int64) > 0

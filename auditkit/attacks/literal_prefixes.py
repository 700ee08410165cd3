"""Prompt with openings written out by hand, each with the turn marks of its own template.

What an attacker does who knows how templates were randomised: a mixture of openings, or those among many that the model
itself finds most likely.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from auditkit.attacks.base import Attack
from auditkit.models.base import LanguageModel
from auditkit.records import Prefix, TurnFormat
from auditkit.registry import Plugin

Mark = Annotated[str, Field(max_length=10_000)]


class TurnMarks(Plugin):
    """How a template marks turns, all literal text, special tokens included; see `TurnFormat`."""

    user_open: Mark = Field(default="", description="What opens a user's turn.")
    turn_change: Mark = Field(description="What ends the user's turn and opens the assistant's.")
    assistant_close: Mark = Field(default="", description="What ends the assistant's turn.")

    @classmethod
    def of(cls, turns: TurnFormat) -> TurnMarks:
        """The same as a policy's section."""
        return cls(user_open=turns.user_open, turn_change=turns.turn_change, assistant_close=turns.assistant_close)

    @property
    def format(self) -> TurnFormat:
        """The same as the models know it."""
        return TurnFormat(self.user_open, self.turn_change, self.assistant_close)


class GivenPrefix(Plugin):
    """One opening, up to the user's first word."""

    text: Annotated[str, Field(min_length=1, max_length=100_000)]
    turns: TurnMarks | None = Field(default=None, description="By default as the model's own chat template has them.")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=80)] | None = Field(
        default=None, description="By default literal_1, literal_2 ... by place in the list."
    )


class LiteralPrefixes(Attack):
    """Sample from several openings, in equal shares; or only from those that the model finds most likely."""

    kind: Literal["literal_prefixes"]
    openings: Annotated[tuple[GivenPrefix | Literal["bos"], ...], Field(min_length=1, max_length=10_000)] = Field(
        description="Texts to start from; bos is the beginning-of-sequence token alone."
    )
    likely: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None,
        description="Keep only this many texts: those with the highest probability a token after BOS, as the model "
        "under attack sees it. bos itself is always kept.",
    )

    def prefixes(self, model: LanguageModel) -> list[Prefix]:
        texts = [self._literal(model, place) for place, given in enumerate(self.openings) if given != "bos"]
        kept = texts if self.likely is None else _most_likely(model, texts, self.likely)
        alone = [model.bos_prefix()] if "bos" in self.openings else []
        # Openings that differ in nothing the model sees count once. A served model may make one of many.
        return list({(prefix.token_ids, prefix.turns): prefix for prefix in [*alone, *kept]}.values())

    def _literal(self, model: LanguageModel, place: int) -> Prefix:
        given = self.openings[place]
        assert isinstance(given, GivenPrefix)
        made = model.literal_prefix(given.text)
        marks = given.turns.format if given.turns else None
        # Where a server makes another prompt of the text, it says itself how turns are marked in that.
        return replace(made, name=given.name or f"literal_{place + 1}", turns=made.turns or marks)


def _most_likely(model: LanguageModel, prefixes: list[Prefix], count: int) -> list[Prefix]:
    """Those with the highest mean ln p a token after BOS, most likely first; equals in the given order."""
    bos = model.bos_prefix()
    texts = [prefix.text.removeprefix(bos.text) for prefix in prefixes]
    known = [place for place, text in enumerate(texts) if text]
    if not known:
        return prefixes[:count]
    found = model.sequence_logprobs([texts[place] for place in known], bos)
    means = {at: float(nats) / len(model.encode(texts[at])) for at, nats in zip(known, found, strict=True)}
    ranked = sorted(known, key=lambda at: -means[at])[:count]
    return [replace(prefixes[at], note=f"{means[at]:.3f} nats a token after BOS") for at in ranked]

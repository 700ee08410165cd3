"""Extraction a few tokens at a time: what came out is fed back as the prompt of the next request.

A filter that looks at whole answers sees fragments only, each too short to match a record; the pieces are joined
outside. With ``pieces: 1`` this is truncated extraction: one short request, at most the user's turn.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from auditkit.attacks.base import Attack
from auditkit.attacks.template_prefix import LiteralPrefix, TemplatePrefix
from auditkit.models.base import Capability, Ids, LanguageModel
from auditkit.records import Finish, Generation, Prefix, SamplingRequest, TurnChange, TurnFormat
from auditkit.statistics.draws import derived_seed


class SegmentedPrefix(Attack):
    """Asks for a segment at a time, each request a completion of the template's opening and all that came before.

    A refusal that the attacker knows is no text of the model's: that piece is asked for again, half as long, for a
    filter matches less the less it sees. The next one is as long as usual.
    Where the model stops within the user's turn, the attacker appends the template's turn change. A sample is whole
    when the model stops in its answer; one whose pieces, tokens or context are used up is cut.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({"continuations"})

    kind: Literal["segmented_prefix"]
    segment: Annotated[int, Field(ge=1, le=65_536, description="Tokens that one request asks for at most.")] = 16
    pieces: Annotated[
        int, Field(ge=1, le=65_536, description="Of one sample at most, refused ones aside; 1: truncated.")
    ] = 64
    refusals: Annotated[tuple[str, ...], Field(max_length=100)] = Field(
        default=(), description="What the server says in place of a piece that it withholds."
    )
    prefix: Literal["auto"] | LiteralPrefix = Field(
        default="auto", description="auto: derived from the model's own chat template; or {literal: '...'}."
    )
    system: Literal["default", "none", "both"] = Field(
        default="both",
        description="With the template's own default system text, without any, or half of the samples each.",
    )

    @property
    def whole_records(self) -> bool:
        return self.pieces > 1

    def prefixes(self, model: LanguageModel) -> list[Prefix]:
        if self.prefix == "auto" and model.turn_format() is None:
            return [model.bos_prefix()]
        opening = TemplatePrefix(kind="template_prefix", samples=1, prefix=self.prefix, system=self.system)
        return opening.prefixes(model)

    def run(self, model: LanguageModel, request: SamplingRequest) -> list[Generation]:
        """The samples of one request, a round of pieces after the other; round i draws with a seed of its own."""
        turns = request.prefix.turns or model.turn_format()
        samples = [_Sample(model, request, turns, self.segment, self.pieces) for _ in range(request.count)]
        known = self._refusals(model)
        turn = 0
        while asked := [sample for sample in samples if sample.runs]:
            for length in sorted({sample.length for sample in asked}):
                together = [sample for sample in asked if sample.length == length]
                sampler = replace(request.sampler, max_new_tokens=length)
                seed = derived_seed("piece", request.seed, turn, *([length] if length < self.segment else []))
                found = model.complete([sample.prefix for sample in together], sampler, seed)
                for sample, ids in zip(together, found, strict=True):
                    sample.take_or_halve(ids, known)
            turn += 1
        return [sample.generation(request.first_ordinal + place) for place, sample in enumerate(samples)]

    def _refusals(self, model: LanguageModel) -> frozenset[str]:
        """As they are written, and as the model's tokens spell them."""
        spelt = [model.decode(model.encode(refusal)) for refusal in self.refusals]
        return frozenset(text.strip() for text in (*self.refusals, *spelt)) - {""}


@dataclass
class _Sample:
    """One text under way. ``answer`` is where the assistant's turn begins in ``ids``, None before the turn changed.

    ``length`` is how many tokens the next request asks for; 0 where no piece is short enough for the server.
    """

    model: LanguageModel
    request: SamplingRequest
    turns: TurnFormat | None
    segment: int
    pieces: int  # that may still be taken
    ids: list[int] = field(default_factory=list)
    question: int | None = None  # the user's turn is ids[:question]
    answer: int | None = None
    change: TurnChange = "none"
    finish: Finish = "length"
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.length = self.segment

    @property
    def room(self) -> int:
        """Tokens that may still be written."""
        whole = min(self.request.sampler.max_new_tokens, self.model.context - len(self.request.prefix.token_ids))
        return whole - len(self.ids)

    @property
    def runs(self) -> bool:
        """Whether there is more to ask for."""
        return self.finish == "length" and self.room > 0 and self.pieces > 0 and self.length > 0

    @property
    def prefix(self) -> Prefix:
        """What the next request completes."""
        start = self.request.prefix
        return replace(start, text=start.text + self.model.decode(self.ids), token_ids=(*start.token_ids, *self.ids))

    def take_or_halve(self, ids: Ids, refusals: frozenset[str]) -> None:
        """Join a piece; a refusal in its place is no piece, and the next request asks for half as much."""
        if refusals and self.model.decode(ids).strip() in refusals:
            self.length //= 2
            return
        self._take(ids)
        self.length, self.pieces = self.segment, self.pieces - 1

    def _take(self, ids: Ids) -> None:
        """A piece shorter than it could be was stopped by the model, at a token that is left out."""
        stopped = len(ids) < min(self.length, self.model.context - len(self.prefix.token_ids))
        self.ids += ids[: self.room]
        self._look_for_change()
        if self._answer_ended() or (stopped and (self.answer is not None or self.turns is None)):
            self.finish = "stop"
        elif stopped:
            self._append_change()

    def _append_change(self) -> None:
        assert self.turns
        change = self.model.encode(self.turns.turn_change)
        if len(change) > self.room:
            self.ids += change[: self.room]  # cut in the middle: no answer has begun
            return
        self.question, self.change = len(self.ids), "appended"
        self.ids += change
        self.answer = len(self.ids)

    def _look_for_change(self) -> None:
        """A model whose end of turn stops no server writes the turn change itself: where its ids stand."""
        if self.answer is not None or self.turns is None:
            return
        change = _trimmed(self.model, self.turns.turn_change)
        at = _place(self.ids, change)
        if at is not None:
            self.question, self.answer, self.change = at, at + len(change), "model"

    def _answer_ended(self) -> bool:
        """Whether the template's end of turn stands in the answer; what follows it is cut off."""
        if self.answer is None or self.turns is None:
            return False
        close = _trimmed(self.model, self.turns.assistant_close)
        at = _place(self.ids[self.answer :], close)
        if at is None:
            return False
        del self.ids[self.answer + at + len(close) :]
        return True

    def generation(self, ordinal: int) -> Generation:
        """The joined sample."""
        request = self.request
        texts = tuple(map(self._text, self._pieces()))
        finish: Finish = self.finish if any(texts) else "empty"
        ids, prefix = tuple(self.ids), request.prefix.name
        return Generation(request.attack, prefix, ordinal, request.seed, texts, ids, finish, self.change)

    def _pieces(self) -> list[list[int]]:
        """The ids of each turn, without what marks its end."""
        if self.answer is None:
            return [self.ids]
        answer = self.ids[self.answer :]
        at = _place(answer, _trimmed(self.model, self.turns.assistant_close)) if self.turns else None
        return [self.ids[: self.question], answer[:at]]

    def _text(self, ids: Sequence[int]) -> str:
        return unicodedata.normalize("NFC", self.model.decode(ids).strip()).strip()


def _trimmed(model: LanguageModel, mark: str) -> Ids:
    """The ids of a template's mark without the white space around it, which models leave out or write otherwise."""
    return model.encode(mark.strip())


def _place(ids: Sequence[int], wanted: Ids) -> int | None:
    """Where the wanted ids stand first; None where they do not, or where nothing is wanted."""
    places = (at for at in range(len(ids) - len(wanted) + 1) if tuple(ids[at : at + len(wanted)]) == wanted)
    return next(places, None) if wanted else None

"""A server that renders the conversation itself: whatever a client sends is the text of the user's turn.

A client's prompt is known here by its text, never by its tokens, so none can be smuggled in; and what a report prints
of an attack is what the attacker sent, without the template around it, which may be a secret.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from auditkit.mitigations.refusals import REFUSAL, refused
from auditkit.mitigations.served import ServedModel
from auditkit.mitigations.user_text import plain_ids, special_tokens
from auditkit.models.base import Ids, LanguageModel
from auditkit.records import ONE_TURN, Generation, Prefix, Sampler, SamplingRequest, TurnFormat


class RenderingServer(ServedModel):
    """Puts a template around every message. ``opening`` stands before it, ``turns`` says what follows."""

    def __init__(self, inner: LanguageModel, opening: Prefix, turns: TurnFormat) -> None:
        super().__init__(inner)
        self._opening = replace(opening, turns=turns)
        self._turns = turns
        self.special = special_tokens(inner)

    @abstractmethod
    def cleaned(self, text: str) -> str | None:
        """A message as it goes into the template; None: it is refused."""

    def turn_format(self) -> TurnFormat:
        return self._turns

    def opening(self) -> Prefix:
        return self._opening

    @property
    def context(self) -> int:
        """Tokens that a client can fill: what the template takes is not among them."""
        return max(1, self.inner.context - len(self._opening.token_ids) - len(self._change))

    def asked(self, text: str, prefix: Prefix) -> Prefix:  # noqa: ARG002 - the server has its own opening
        return Prefix("asked", text, self.inner.encode(text), turns=ONE_TURN)

    def rendered(self, text: str) -> Prefix | None:
        """What the model gets to see of a message; None: nothing, it is refused."""
        shown = self.cleaned(text)
        if shown is None:
            return None
        whole = self._opening.text + shown + self._turns.turn_change
        return Prefix("rendered", whole, (*self._opening.token_ids, *self._rest(shown)), turns=ONE_TURN)

    def sample(self, request: SamplingRequest) -> list[Generation]:
        prompt = self.rendered(request.prefix.text)
        if prompt is None:
            return [refused(request, request.first_ordinal + at, REFUSAL) for at in range(request.count)]
        found = self.inner.sample(replace(request, prefix=replace(prompt, name=request.prefix.name)))
        return [replace(one, turns=tuple(filter(None, [one.view("record")])), turn_change="none") for one in found]

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        prompts = [self.rendered(prefix.text) for prefix in prefixes]
        # A refused one keeps its place, so that the noise of the others does not hang on it.
        given = [self._opening if prompt is None else prompt for prompt in prompts]
        answers = self.inner.complete(given, sampler, seed)
        refusal = self.inner.encode(REFUSAL)
        return [refusal if prompt is None else ids for prompt, ids in zip(prompts, answers, strict=True)]

    @cached_property
    def _change(self) -> Ids:
        return self.inner.encode(self._turns.turn_change)

    @cached_property
    def _numbers(self) -> frozenset[int]:
        return frozenset(self.special.values())

    def _rest(self, text: str) -> Ids:
        """The ids of a message and the turn change; special ones in the turn change alone.

        In one go as training has it, unless the message holds a special token, or makes one with what follows.
        """
        together = self.inner.encode(text + self._turns.turn_change)
        if self._numbers.isdisjoint(self.inner.encode(text)) and self._marks(together) == self._marks(self._change):
            return together
        return plain_ids(text, self.inner.encode, self._numbers) + self._change

    def _marks(self, ids: Ids) -> Ids:
        return tuple(token for token in ids if token in self._numbers)

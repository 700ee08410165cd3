"""A served model under attack: what all of them share, and the two ways in which they are reached."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from auditkit.errors import ModelError
from auditkit.models.base import Ids, LanguageModel, RecordTokens, TokenReading
from auditkit.models.remote_calls import Call, Calls
from auditkit.models.remote_row import WITHHELD, Answer, Row, answers_as_bytes, answers_from
from auditkit.models.remote_section import RemoteBackend
from auditkit.models.remote_texts import Texts
from auditkit.records import Finish, Generation, ModelIdentity, Prefix, Sampler, SamplingRequest, TurnFormat
from auditkit.remote.budget import Spent
from auditkit.remote.kept import Kept
from auditkit.statistics.draws import derived_seed

T = TypeVar("T")
COMPLETED = "completed"  # the part that single answers are of, which probes make something of when they have all
SEED_BITS = 31  # what the narrowest of the APIs takes


@dataclass(frozen=True)
class Ask:
    """One request: ``count`` samples behind one prompt, with one seed."""

    prompt: Prefix
    sampler: Sampler
    count: int
    seed: int

    @property
    def output(self) -> int:
        """Tokens that may be written in all."""
        return self.count * self.sampler.max_new_tokens

    @property
    def digest(self) -> str:
        """Of all that decides its answer but the model."""
        told = [self.prompt.text, self.prompt.token_ids, astuple(self.sampler), self.count, self.seed]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def fewer(self, count: int, place: int) -> Ask:
        """Some of it as a request of its own."""
        return replace(self, count=count, seed=short_seed("again", self.seed, place))


@dataclass(frozen=True)
class Form(Generic[T]):
    """How answers of a kind are written to a file, and read from it."""

    write: Callable[[T], bytes]
    read: Callable[[bytes], T]


def _put(kept: Kept, part: str, asked: str, form: Form[T], answer: T) -> None:
    kept.put(part, asked, form.write(answer))


def short_seed(*parts: object) -> int:
    """A seed that every API takes, for what these parts name."""
    return derived_seed(*parts) >> (63 - SEED_BITS)


class RemoteModel(LanguageModel):
    """A model that answers over HTTP. Whoever opened it closes it; what it costs its section's meter counts."""

    def __init__(self, section: RemoteBackend, identity: ModelIdentity, texts: Texts, calls: Calls) -> None:
        self.section = section
        self.identity = identity
        self.texts = texts
        self.calls = calls

    @abstractmethod
    def call(self, ask: Ask) -> Call[list[Answer]]:
        """How a request is sent. It may give fewer samples than were asked for, and at least one."""

    @property
    def context(self) -> int:
        return self.texts.context

    def encode(self, text: str) -> Ids:
        return self.texts.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.texts.decode(ids)

    def turn_format(self) -> TurnFormat | None:
        return self.texts.turn_format()

    def template_prefix(self, system: str | None) -> Prefix:
        return self.texts.template_prefix(system)

    def literal_prefix(self, text: str) -> Prefix:
        return self.texts.literal_prefix(text)

    def bos_prefix(self) -> Prefix:
        return self.texts.bos_prefix()

    def record_tokens(self, prompt: str, response: str, turns: TurnFormat | None, prefix: Prefix) -> RecordTokens:
        return self.texts.record_tokens(prompt, response, turns, prefix)

    def read(
        self,
        texts: Sequence[Ids],  # noqa: ARG002
        prefix: Prefix,  # noqa: ARG002
        *,
        moments: bool = False,  # noqa: ARG002
        sampler: Sampler | None = None,  # noqa: ARG002
    ) -> list[TokenReading]:
        raise ModelError("this server tells no log-probabilities of given text", "leave the likelihood probes out")

    def sequence_logprobs(self, texts: Sequence[str], prefix: Prefix) -> npt.NDArray[np.float64]:
        found = self.read([self.encode(text) for text in texts], prefix)
        return np.array([reading.logprobs.sum() for reading in found], np.float64)

    def close(self) -> None:
        self.calls.close()

    def asked_for(self, asks: Sequence[Ask], part: str = COMPLETED) -> list[list[Answer]]:
        """Every ask's samples, all of them: what a server leaves out is asked for again, one at a time.

        ``part``: of the run, that the answers are kept under until it is whole.
        """
        found = self._answered(asks, part)
        short = [(place, ask) for place, ask in enumerate(asks) if len(found[place]) < ask.count]
        again = [
            (place, ask.fewer(1, number)) for place, ask in short for number in range(len(found[place]), ask.count)
        ]
        for (place, _), one in zip(again, self._answered([ask for _, ask in again], part), strict=True):
            found[place] += one[:1]
        return [answers[: ask.count] for answers, ask in zip(found, asks, strict=True)]

    def part_of(self, request: SamplingRequest) -> str:
        """The name under which a request's answers are kept; those of finished ones are let go."""
        part = f"{request.attack} {request.first_ordinal}"
        self.let_go_but(part)
        return part

    def kept_or_asked(self, part: str, asked: Sequence[tuple[str, Call[T]]], form: Form[T]) -> list[T]:
        """The answers to calls, each with a digest of what it asks: of an earlier process, or the server's."""
        kept = self.section.kept
        if kept is None:
            return self.calls.every([call for _, call in asked])
        known = [kept.get(part, digest) for digest, _ in asked]
        calls = [
            replace(call, keep=partial(_put, kept, part, digest, form))
            for (digest, call), content in zip(asked, known, strict=True)
            if content is None
        ]
        new = iter(self.calls.every(calls))
        return [next(new) if content is None else form.read(content) for content in known]

    def let_go_but(self, part: str) -> None:
        """Keep the answers of this part, which begins, and of single ones; what others became is on disk."""
        if self.section.kept:
            self.section.kept.forget_but(part, COMPLETED)

    def _answered(self, asks: Sequence[Ask], part: str) -> list[list[Answer]]:
        form = Form(answers_as_bytes, answers_from)
        return self.kept_or_asked(part, [(ask.digest, self.call(ask)) for ask in asks], form)

    def dearest(self, ask: Ask) -> Spent:
        """The most that a request can take: every byte a token where none are known."""
        return Spent(1, len(ask.prompt.token_ids) + PROMPT_MARGIN, ask.output)

    def in_requests(self, prompt: Prefix, sampler: Sampler, count: int, seed: int) -> Iterator[Ask]:
        """``count`` samples as requests of at most ``n``."""
        for first in range(0, count, self.section.n):
            yield Ask(prompt, sampler, min(self.section.n, count - first), short_seed("request", seed, first))


PROMPT_MARGIN = 32  # tokens that a server's own template puts around a message


class CompletingModel(RemoteModel):
    """A server that takes the whole prompt as text or tokens: the attacker puts in the template."""

    def sample(self, request: SamplingRequest) -> list[Generation]:
        start = len(self._checked(request.prefix).token_ids)
        limit = min(request.sampler.max_new_tokens, self.context - start)
        marks = self.texts.marks_of(request.prefix.turns or self.turn_format())
        rows = [Row(request.prefix, marks, self.decode, self._room(limit)) for _ in range(request.count)]
        part = self.part_of(request)
        self._first(rows, request, limit, part)
        turn = 1
        while pending := [(place, row) for place, row in enumerate(rows) if row.runs]:
            asks = [self._next(row, request, turn, place) for place, row in pending]
            for (_, row), answers in zip(pending, self.asked_for(asks, part), strict=True):
                row.take(answers[0])
            turn += 1
        counted = self.section.knows_template
        return [
            row.generation(request, request.first_ordinal + place, counted=counted) for place, row in enumerate(rows)
        ]

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        asks = [
            Ask(self._checked(prefix), self._within(prefix, sampler), 1, short_seed("complete", seed, place))
            for place, prefix in enumerate(prefixes)
        ]
        stops = self.texts.marks_of(self.turn_format()).stops
        return [_before_stop(answers[0].ids, stops) for answers in self.asked_for(asks)]

    def _first(self, rows: Sequence[Row], request: SamplingRequest, limit: int, part: str) -> None:
        """All samples begin with the same prompt: ``n`` of them a request."""
        sampler = replace(request.sampler, max_new_tokens=limit)
        asks = list(self.in_requests(request.prefix, sampler, len(rows), request.seed))
        found = [answer for answers in self.asked_for(asks, part) for answer in answers]
        for row, answer in zip(rows, found, strict=True):
            row.take(answer)

    def _next(self, row: Row, request: SamplingRequest, turn: int, place: int) -> Ask:
        """What a sample goes on with, behind what it has so far."""
        text = request.prefix.text + self.decode(row.ids)
        prompt = replace(request.prefix, text=text, token_ids=row.prompt)
        left = row.room if self.section.knows_template else max(1, row.room // BYTES_PER_TOKEN)
        sampler = replace(request.sampler, max_new_tokens=left)
        return Ask(prompt, sampler, 1, short_seed("turn", request.seed, turn, place))

    def _room(self, limit: int) -> int:
        """In ids, which are bytes where no tokenizer is known."""
        return limit if self.section.knows_template else limit * BYTES_PER_TOKEN

    def _within(self, prefix: Prefix, sampler: Sampler) -> Sampler:
        return replace(sampler, max_new_tokens=min(sampler.max_new_tokens, self.context - len(prefix.token_ids)))

    def _checked(self, prefix: Prefix) -> Prefix:
        if not prefix.token_ids:
            raise ModelError("the prefix has no token", "a model needs at least one to start from; use bos_prefix")
        if len(prefix.token_ids) >= self.context:
            raise ModelError(
                f"the prefix of {len(prefix.token_ids)} tokens fills the model's context of {self.context}",
                "use a shorter prefix",
            )
        return prefix


BYTES_PER_TOKEN = 16  # no text of so many tokens is cut for its bytes


class ChattingModel(RemoteModel):
    """A server that takes messages and renders the template itself. A prefix is the text of one message."""

    def opening(self) -> Prefix:
        return Prefix("chat", "", ())

    def bos_prefix(self) -> Prefix:
        """Nothing can be put in front of a message."""
        return self.opening()

    def asked(self, text: str, prefix: Prefix) -> Prefix:  # noqa: ARG002 - the server puts it in front
        return Prefix("asked", text, self.encode(text))

    def sample(self, request: SamplingRequest) -> list[Generation]:
        asks = list(self.in_requests(request.prefix, request.sampler, request.count, request.seed))
        found = [answer for answers in self.asked_for(asks, self.part_of(request)) for answer in answers]
        return [self._generation(request, request.first_ordinal + place, answer) for place, answer in enumerate(found)]

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        asks = [Ask(prefix, sampler, 1, short_seed("complete", seed, place)) for place, prefix in enumerate(prefixes)]
        return [self.encode(answers[0].text) for answers in self.asked_for(asks)]

    def _generation(self, request: SamplingRequest, ordinal: int, answer: Answer) -> Generation:
        text = unicodedata.normalize("NFC", answer.text).strip()
        finish: Finish = answer.ended
        if answer.ended == "blocked" and not text:
            text = WITHHELD
        elif not text and answer.ended != "failed":
            finish = "empty"
        ids = answer.ids if self.section.knows_template else ()
        turns = (text,) if text else ()
        prefix = request.prefix.name
        return Generation(request.attack, prefix, ordinal, request.seed, turns, ids, finish, "none")


def _before_stop(ids: Ids, stops: frozenset[int]) -> Ids:
    at = next((place for place, token in enumerate(ids) if token in stops), len(ids))
    return ids[:at]

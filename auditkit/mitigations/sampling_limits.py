"""Limits of a server: which samplers a request may ask for, how long an answer gets, and how many a client gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from auditkit.attacks.base import Attack
from auditkit.mitigations.adaptive_attacks import adaptive_attack, choose_prompts, pattern_of
from auditkit.mitigations.base import Declared, Made, Place, ServingMitigation, Workshop
from auditkit.mitigations.refusals import REFUSAL, refused
from auditkit.mitigations.served import ServedModel
from auditkit.mitigations.template_knowledge import Known, known_of
from auditkit.models.base import Floats, Ids, LanguageModel, TokenReading
from auditkit.records import Estimate, Fact, Generation, Prefix, Sampler, SamplingRequest
from auditkit.statistics.draws import derived_seed, seeded_sample
from auditkit.statistics.intervals import clopper_pearson
from auditkit.statistics.means import t_interval

MANY_CLIENTS = "many_clients"
# How questions and requests begin.
FIRST_WORDS = (
    "How What Why When Where Who Which Can Could Is Are Do Does Did Would Should I We My The A In If Please Write Give "
    "Explain Describe Find Tell Hi Hello There"
)
COLDEST = 0.1  # of the adaptive attack: greedy gives one text, however often it is asked


class SamplingLimits(ServingMitigation):
    """Requests are clamped to what is allowed; whoever has used up the budget is refused.

    Each attack is one client; the adaptive attack with many accounts is ``clients`` of them. The budget counts
    generations; completions of given texts, which the audit asks for as utility, are clamped and not counted. Refusals
    are answers without a leak, so a budget lowers rates over generations as well as what is covered.
    """

    acts_on: ClassVar[Place] = "serving"
    summary: ClassVar[str] = (
        "The server clamps temperature, truncation and length, and counts what each client asks for."
    )
    source: ClassVar[str] = "Hayes et al. 2025, Measuring memorization through probabilistic discoverable extraction"

    kind: Literal["sampling_limits"]
    min_temperature: Annotated[float, Field(ge=0, le=10, description="Lower ones are raised to it.")] = 0.0
    max_temperature: Annotated[float, Field(ge=0, le=10, description="Higher ones are lowered to it.")] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1, description="Nucleus at most; 1: no limit.")] = 1.0
    top_k: Annotated[int, Field(ge=0, description="Tokens to choose from at most; 0: no limit.")] = 0
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        default=None, description="Tokens an answer at most; by default as asked."
    )
    budget: Annotated[int, Field(ge=1, le=10**12)] | None = Field(
        default=None, description="Generations that one client gets; by default as many as asked."
    )
    clients: Annotated[int, Field(ge=2, le=10**9)] = Field(
        default=10, description="Accounts that an attacker who knows of the budget opens."
    )
    refusal: Annotated[str, Field(min_length=1, max_length=10_000)] = Field(
        default=REFUSAL, description="What a client gets whose budget is used up."
    )
    records: Annotated[int, Field(ge=2, le=100_000)] = Field(
        default=100, description="Members of each dataset whose p_z is read with and without the limits."
    )

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.min_temperature > self.max_temperature:
            raise ValueError("'min_temperature' must not be above 'max_temperature'")
        return self

    @property
    def costs_when_writing(self) -> bool:
        forced = self.min_temperature > 0 or self.max_temperature < 1 or self.top_p < 1 or self.top_k > 0
        return forced or self.max_new_tokens is not None or self.budget is not None

    def clamped(self, sampler: Sampler) -> Sampler:
        """The sampler that a request gets."""
        ranks = [k for k in (sampler.top_k, self.top_k) if k]
        return Sampler(
            temperature=min(max(sampler.temperature, self.min_temperature), self.max_temperature),
            top_k=min(ranks, default=0),
            top_p=min(sampler.top_p, self.top_p),
            max_new_tokens=min(sampler.max_new_tokens, self.max_new_tokens or sampler.max_new_tokens),
        )

    def allowance(self, attack: str) -> float:
        """Generations that an attack gets in all."""
        if self.budget is None:
            return np.inf
        return self.budget * (self.clients if attack.endswith(MANY_CLIENTS) else 1)

    def make(self, workshop: Workshop) -> Made:
        limits: dict[str, Any] = {
            "temperature": f"{self.min_temperature:g} to {self.max_temperature:g}",
            "top_p": self.top_p,
            "top_k": self.top_k or "no limit",
            "max_new_tokens": self.max_new_tokens or "no limit",
            "budget": self.budget or "no limit",
        }
        return Made(workshop.candidate, tuple(Fact(name, value, NOTES.get(name, "")) for name, value in limits.items()))

    def serve(self, model: LanguageModel, workshop: Workshop) -> LanguageModel:  # noqa: ARG002
        return LimitedModel(model, self)

    def adaptive(self, attacks: Sequence[Attack], workshop: Workshop) -> Sequence[Attack]:
        """The hottest and the coldest sampler that is allowed, many clients, and many first words.

        A sampler that leaves little to chance says the same again and again, unless it is asked differently.
        """
        if not attacks:
            return ()
        source = pattern_of(attacks)
        untruncated = {"top_k": 0, "top_p": 1.0}
        found = [
            source.model_copy(update={"name": name, "temperature": temperature, **untruncated})
            for name, temperature in (
                ("hottest", self.max_temperature),
                ("coldest", max(COLDEST, self.min_temperature)),
            )
        ]
        if self.budget is not None:
            found.append(source.model_copy(update={"name": MANY_CLIENTS}))
        if choose_prompts(attacks, self.attacker):
            found += _first_words(source, known_of(workshop))
        return found

    def utility(self, served: LanguageModel, workshop: Workshop) -> Sequence[Estimate]:
        """What p_z of members becomes: of a plain request at temperature 1, under the limits against without."""
        return [one for dataset in workshop.datasets for one in self._effect(served, dataset, workshop.seed)]

    def _effect(self, served: LanguageModel, dataset: Declared, seed: int) -> list[Estimate]:
        plain = served.inner if isinstance(served, ServedModel) else served
        logprobs = [_sampled(model, self._drawn(plain, dataset, seed)) for model in (plain, served)]
        return [_change(dataset.name, *logprobs), _out_of_reach(dataset.name, *logprobs)]

    def _drawn(self, model: LanguageModel, dataset: Declared, seed: int) -> list[Ids]:
        """Whole records as tokens; those that do not fit the context are left out."""
        drawn = seeded_sample(len(dataset.members), self.records, derived_seed("p_z", seed, dataset.name)).tolist()
        turns, opening = model.turn_format(), model.opening()
        records = [dataset.members[at] for at in drawn]
        found = [model.record_tokens(record.prompt, record.response, turns, opening).ids for record in records]
        return [ids for ids in found if 0 < len(ids) <= model.context - len(opening.token_ids)]


def _first_words(source: Attack, known: Known) -> list[Attack]:
    """The published opening with each of so many first words behind it."""
    openings = [
        {**opening, "name": f"word_{number}", "text": opening["text"] + word}
        for opening in known.published
        for number, word in enumerate(FIRST_WORDS.split(), 1)
    ]
    return [adaptive_attack(source, "literal_prefixes", "first_words", openings=openings)] if openings else []


NOTES = {
    "temperature": "what requests are clamped to",
    "budget": "generations a client; an attack is one client, and p_z does not know of it",
}


class LimitedModel(ServedModel):
    """Which samples are refused hangs on their ordinals alone, which are absolute: the same in one go or resumed."""

    def __init__(self, inner: LanguageModel, limits: SamplingLimits) -> None:
        super().__init__(inner)
        self.limits = limits

    def sample(self, request: SamplingRequest) -> list[Generation]:
        allowed = int(min(max(self.limits.allowance(request.attack) - request.first_ordinal, 0), request.count))
        sampler = self.limits.clamped(request.sampler)
        found = self.inner.sample(replace(request, sampler=sampler, count=allowed)) if allowed else []
        over = range(request.first_ordinal + allowed, request.first_ordinal + request.count)
        return [*found, *(refused(request, ordinal, self.limits.refusal) for ordinal in over)]

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        return self.inner.complete(prefixes, self.limits.clamped(sampler), seed)

    def read(
        self, texts: Sequence[Ids], prefix: Prefix, *, moments: bool = False, sampler: Sampler | None = None
    ) -> list[TokenReading]:
        """``sampled`` is under the clamped sampler: p_z as the server leaves it, 0 beyond the longest answer."""
        if sampler is None:
            return self.inner.read(texts, prefix, moments=moments)
        found = self.inner.read(texts, prefix, moments=moments, sampler=self.limits.clamped(sampler))
        return [replace(reading, sampled=self._cut(reading.sampled)) for reading in found]

    def _cut(self, sampled: Floats) -> Floats:
        longest = self.limits.max_new_tokens
        return sampled if longest is None else np.where(np.arange(sampled.size) < longest, sampled, -np.inf)


def _sampled(model: LanguageModel, texts: Sequence[Ids]) -> Floats:
    """(texts,) ln p_z of each under a plain request at temperature 1."""
    if not texts:
        return np.zeros(0)
    longest = max(map(len, texts))
    found = model.read(texts, model.opening(), sampler=Sampler(max_new_tokens=longest))
    return np.array([reading.sampled.sum() for reading in found], np.float64)


def _change(dataset: str, plain: Floats, limited: Floats) -> Estimate:
    """Mean of ln p_z under the limits less that without, over records that both can write."""
    both = np.isfinite(plain) & np.isfinite(limited)
    changes = (limited - plain)[both].tolist()
    known = len(changes) >= 2
    low, high = t_interval(changes) if known else (None, None)
    return Estimate(
        metric="extraction_logprob_change",
        dataset=dataset,
        attack="",
        value=float(np.mean(changes)) if known else None,
        low=low,
        high=high,
        method="mean nats a record at temperature 1 as asked, Student's t",
        denominator=len(changes),
        unscored=int((~both).sum()),
        reason="" if known else "fewer than two records are possible both with and without the limits",
    )


def _out_of_reach(dataset: str, plain: Floats, limited: Floats) -> Estimate:
    """The share of records that can come up without the limits, and cannot under them: p_z = 0."""
    possible = np.isfinite(plain)
    lost, trials = int((possible & np.isneginf(limited)).sum()), int(possible.sum())
    low, high = clopper_pearson(lost, trials) if trials else (None, None)
    return Estimate(
        metric="out_of_reach_share",
        dataset=dataset,
        attack="",
        value=lost / trials if trials else None,
        low=low,
        high=high,
        method="Clopper-Pearson, over members",
        numerator=lost,
        denominator=trials,
        unscored=int((~possible).sum()),
        reason="" if trials else "no member can be written at all",
    )

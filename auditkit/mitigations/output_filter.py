"""An output filter: withhold what matches a dataset, or let no n-gram of a dataset be completed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from auditkit.attacks.base import Attack
from auditkit.errors import MitigationFailedError
from auditkit.files import make_folder
from auditkit.mitigations.base import Declared, Made, Measure, Place, ServingMitigation, Workshop
from auditkit.mitigations.evasions import EVASIONS, Evasion, evasive_attacks
from auditkit.mitigations.filter_costs import false_block_share, latency_ratio
from auditkit.mitigations.ngram_bloom import keyed_digest
from auditkit.mitigations.ngram_guard import NgramGuard, Tokenised
from auditkit.mitigations.refusals import REFUSAL
from auditkit.mitigations.served import ServedModel
from auditkit.mitigations.withholding import Matcher, WithholdingModel
from auditkit.models.base import Ids, LanguageModel
from auditkit.records import Estimate, Fact, Generation, Prefix, Record, Sampler, SamplingRequest
from auditkit.statistics.intervals import clopper_pearson

FOLDER = "ngram_filter"
SEGMENT = 16  # tokens of a piece against a filter that looks at whole answers


class OutputFilter(ServingMitigation):
    """Stands between the model and whoever reads. Both modes need the data, or what was made of it, where they run."""

    acts_on: ClassVar[Place] = "decoding"
    summary: ClassVar[str] = "What the model writes is compared with the datasets before it goes out."
    source: ClassVar[str] = "Ippolito et al. 2023, Preventing Verbatim Memorization Gives a False Sense of Privacy"

    kind: Literal["output_filter"]
    mode: Literal["block", "ngrams"] = Field(
        default="block",
        description="block: an output whose best match passes the threshold is withheld; ngrams: while the model "
        "writes, no n-gram of a dataset may be completed (MemFree decoding).",
    )
    measure: Measure = Field(default="embedding", description="Of the best match; block alone.")
    threshold: Annotated[float, Field(gt=0, le=1)] | Literal["calibrated"] = Field(
        default="calibrated",
        description="Similarity from which on an output is withheld; calibrated: each dataset's own tau, which is of "
        "the embedding. Block alone.",
    )
    refusal: Annotated[str, Field(min_length=1, max_length=10_000)] = Field(
        default=REFUSAL, description="What goes out in place of an output that is withheld."
    )
    n: Annotated[int, Field(ge=2, le=256, description="Tokens of an n-gram; ngrams alone.")] = 10
    false_positive_rate: Annotated[float, Field(ge=1e-12, le=0.5)] = Field(
        default=1e-4, description="Of one look-up in the Bloom filter of n-grams; ngrams alone."
    )
    sees_prompt: bool = Field(
        default=True,
        description="Whether the prompt's last tokens count as the beginning of an n-gram. Without, what is fed back "
        "as prompt a piece at a time gets past; ngrams alone.",
    )
    records: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=200, description="Controls of each dataset that false blocks are counted on."
    )
    evasions: Annotated[tuple[Evasion, ...], Field(max_length=len(EVASIONS))] = Field(
        default=EVASIONS, description="How an attacker who knows of the filter attacks besides."
    )

    @model_validator(mode="after")
    def _calibrated_is_of_the_embedding(self) -> Self:
        # Below one half a best match by edit distance is not looked for, and counts as 0.
        fits = self.threshold != "calibrated" and self.threshold >= 0.5
        if self.mode == "block" and self.measure == "levenshtein" and not fits:
            raise ValueError("by levenshtein the threshold is a number of at least 0.5, such as 0.9")
        return self

    @property
    def untried(self) -> str:
        left_out = [evasion for evasion in EVASIONS if evasion not in self.evasions]
        return f"{self.label} is not attacked with the evasions {', '.join(left_out)}." if left_out else ""

    def make(self, workshop: Workshop) -> Made:
        if self.mode == "block":
            known = self._matcher(workshop).thresholds
            facts = [
                Fact(f"threshold, {name}", value, f"best match by {self.measure}") for name, value in known.items()
            ]
            return Made(workshop.candidate, tuple(facts))
        if "guards" not in workshop.candidate.capabilities:
            raise MitigationFailedError(
                f"the {workshop.candidate.backend} backend lets nobody forbid a token", "use backend: transformers"
            )
        if not NgramGuard.is_saved(workshop.folder / FOLDER):
            with workshop.candidate.open("candidate") as model:
                self._build(model, workshop)
        return Made(workshop.candidate, _facts(self._guard(workshop)))

    def serve(self, model: LanguageModel, workshop: Workshop) -> LanguageModel:
        if self.mode == "block":
            return WithholdingModel(model, self._matcher(workshop), self.refusal)
        if not NgramGuard.is_saved(workshop.folder / FOLDER):
            self._build(model, workshop)
        return GuardedModel(model, self._guard(workshop))

    def adaptive(self, attacks: Sequence[Attack], workshop: Workshop) -> Sequence[Attack]:
        # Fewer tokens than an n-gram has: a guard that does not see the prompt then has nothing to forbid.
        segment = self.n - 1 if self.mode == "ngrams" else SEGMENT
        said = [self.refusal] if self.mode == "block" else []
        return evasive_attacks(attacks, self.evasions, segment, workshop.candidate.capabilities, said)

    def utility(self, served: LanguageModel, workshop: Workshop) -> Sequence[Estimate]:
        """False blocks among each dataset's controls, and what the filter costs in time."""
        found = [self._false_blocks(served, dataset, workshop) for dataset in workshop.datasets]
        plain = served.inner if isinstance(served, ServedModel) else served
        return [*found, latency_ratio(plain, served, workshop.seed)]

    def _false_blocks(self, served: LanguageModel, dataset: Declared, workshop: Workshop) -> Estimate:
        def stops(records: Sequence[Record]) -> npt.NDArray[np.bool_]:
            if self.mode == "block":
                return self._matcher(workshop).matches([record.text for record in records])
            guard, turns, opening = self._guard(workshop), served.turn_format(), served.opening()
            whole = (served.record_tokens(record.prompt, record.response, turns, opening) for record in records)
            return np.array([guard.completes(tokens.ids) for tokens in whole], bool)

        return false_block_share(dataset, stops, self.records, workshop.seed)

    def _matcher(self, workshop: Workshop) -> Matcher:
        return Matcher.of(workshop, self.measure, None if self.threshold == "calibrated" else self.threshold)

    def _guard(self, workshop: Workshop) -> NgramGuard:
        return NgramGuard.load(workshop.folder / FOLDER, workshop.secret, sees_prompt=self.sees_prompt)

    def _build(self, model: LanguageModel, workshop: Workshop) -> None:
        members = [record for dataset in workshop.datasets for record in dataset.members]
        workshop.tell("n-gram filter", 0, len(members))
        content = keyed_digest(workshop.secret, model.identity.tokenizer_sha256, *(record.id for record in members))
        tokenised = Tokenised(model, members, self.n)
        guard = NgramGuard.of(tokenised, self.false_positive_rate, workshop.secret, content=content)
        guard.save(make_folder(workshop.folder / FOLDER), workshop.secret)
        workshop.tell("n-gram filter", len(members), len(members))


class GuardedModel(ServedModel):
    """Samples and completions are held to a guard; the rest is the model's own."""

    def __init__(self, inner: LanguageModel, guard: NgramGuard) -> None:
        super().__init__(inner)
        self.held = inner.guarded(guard)

    def sample(self, request: SamplingRequest) -> list[Generation]:
        return self.held.sample(request)

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        return self.held.complete(prefixes, sampler, seed)


def _facts(guard: NgramGuard) -> tuple[Fact, ...]:
    header = guard.ngrams.header
    low, high = clopper_pearson(header.measured, header.measured_with)
    return (
        Fact("n", header.n, "tokens of an n-gram"),
        Fact("n-grams", header.count, "different ones of the datasets' records, in every way they are tokenised"),
        Fact("size", guard.size, "bytes of both Bloom filters, of n-grams and of their beginnings"),
        Fact("false-positive rate, designed", header.designed, "of one look-up"),
        Fact(
            "false-positive rate, measured",
            header.measured / header.measured_with,
            f"{header.measured} of {header.measured_with} random n-grams; 95 % interval {low:.2g} to {high:.2g}",
        ),
        Fact(
            "secrecy",
            "keyed, owner-only",
            "with its key it tells whether a text was in the data: a membership oracle, never part of a release",
        ),
    )

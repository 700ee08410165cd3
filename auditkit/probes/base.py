"""What a probe is: a policy section that reads likelihoods, or the model itself, and tells members from controls.

The auditing room does the reading and the keeping; a probe says what it needs and turns it into figures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from auditkit.models.base import Capability, Floats, Ids, LanguageModel, Likelihoods, RecordTokens, Span, TokenReading
from auditkit.records import Estimate, Record, Sampler, Split, Stage
from auditkit.registry import Plugin
from auditkit.report.base import ProbeChart, Table

Role = Literal["candidate", "base"]
Rendering = Literal["record", "rejected"]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]

# Why a record has no value: left out is told by reason, and is never 0.
EMPTY, TOO_LONG = "empty", "longer than the context"


@dataclass(frozen=True, slots=True)
class Reading:
    """One pass of one model over every record of a dataset and its controls.

    ``under`` is "template" (the candidate's chat-template opening), "bos", or "attack:NAME": every prefix of that
    attack. ``rendering`` "rejected" puts the rejected reply in the response's place. ``sampled`` asks for
    probabilities under the sampler of the attack that ``under`` names.
    """

    role: Role
    under: str = "template"
    rendering: Rendering = "record"
    moments: bool = False
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One record as read: its tokens and what the model said of them."""

    tokens: RecordTokens
    reading: TokenReading

    def logprobs(self, span: Span) -> Floats:
        """(tokens of the span,) natural log-probabilities."""
        return self.reading.logprobs[self.tokens.span(span)]


@dataclass(frozen=True)
class PerRecord:
    """One number a record. ``values`` mean nothing where ``scored`` is False: left out is not 0.

    Both are (n,), n the records of the side.
    """

    values: Floats
    scored: Bools

    @classmethod
    def of_sample(cls, records: int, at: Sequence[int], values: Sequence[float]) -> Self:
        """Values of the records at these indexes; the others are left out."""
        made, scored = np.zeros(records), np.zeros(records, bool)
        made[list(at)], scored[list(at)] = values, True
        return cls(made, scored)

    @property
    def kept(self) -> Floats:
        """(scored,) the values that are values, in record order."""
        return self.values[self.scored]

    def combined(self, other: PerRecord, by: Callable[[Floats, Floats], Floats]) -> PerRecord:
        """A number made from two, scored where both are."""
        both = self.scored & other.scored
        made = np.zeros_like(self.values)
        made[both] = by(self.values[both], other.values[both])
        return PerRecord(made, both)

    def minus(self, other: PerRecord) -> PerRecord:
        """The difference, scored where both are."""
        return self.combined(other, np.subtract)


class ReadingTable(ABC):
    """One reading of one side under one prefix, on disk."""

    prefix: str  # its name
    prefix_text: str
    share: float  # of the attack's samples that begin with this prefix; 1 under "template" and "bos"

    @property
    @abstractmethod
    def unscored(self) -> Mapping[str, int]:
        """Records that could not be read, by reason: "empty", "longer than the context"."""

    @property
    @abstractmethod
    def retokenised(self) -> int:
        """Records whose tokens would differ were prefix and text tokenised in one go."""

    @abstractmethod
    def rows(self) -> Iterator[TokenRow | None]:
        """One row a record in record order, None where unscored; streamed from disk."""

    def each(self, number: Callable[[TokenRow], float | None]) -> PerRecord:
        """One number a record; None where the record admits none (a span without tokens)."""
        found = [None if row is None else number(row) for row in self.rows()]
        values = np.array([0.0 if value is None else value for value in found], np.float64)
        return PerRecord(values, np.array([value is not None for value in found], bool))

    def total(self, span: Span) -> PerRecord:
        """ln p of a span, summed over its tokens."""
        return self.each(lambda row: float(row.logprobs(span).sum()) if row.logprobs(span).size else None)

    def length(self, span: Span) -> PerRecord:
        """Tokens of a span."""
        return self.each(lambda row: float(row.logprobs(span).size) or None)


class Side(ABC):
    """The members or the controls of one dataset."""

    split: Split
    records: tuple[Record, ...]
    clusters: Labels  # (n,) near-duplicate cluster of each record

    @abstractmethod
    def tables(self, reading: Reading) -> list[ReadingTable]:
        """What was read, one table a prefix: exactly one for "template" and "bos"."""

    def table(self, reading: Reading) -> ReadingTable:
        """The one table of a reading that has one prefix."""
        (only,) = self.tables(reading)
        return only


class AttackEvidence(ABC):
    """What an attack of this run generated, for probes that compare a forecast with what came."""

    name: str
    sampler: Sampler
    generations: int

    @abstractmethod
    def token_ids(self) -> Iterator[tuple[str, list[Ids]]]:
        """Batches of (prefix name, generated ids), streamed from disk; failed generations are empty ids."""


@dataclass(frozen=True)
class Evidence:
    """Everything that a probe may know of one dataset."""

    dataset: str
    stage: Stage
    members: Side
    controls: Side
    attacks: Mapping[str, AttackEvidence]  # by name: those that sample from a prefix
    seed: int
    same_tokens: bool  # candidate and base tokenise alike; else per-token figures of the pair mean nothing
    has_base: bool

    @property
    def sides(self) -> tuple[Side, Side]:
        """Members, controls."""
        return self.members, self.controls


@dataclass(frozen=True)
class RecordScores:
    """One score a record on both sides, higher meaning "more likely a member": what ROC and AUC are made of."""

    metric: str
    members: PerRecord
    controls: PerRecord


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found on one dataset. In a table, a column of kind "record" holds indexes of members."""

    estimates: list[Estimate] = field(default_factory=list)
    scores: list[RecordScores] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    charts: list[ProbeChart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unscored: dict[str, int] = field(default_factory=dict)


class Probe(Plugin, ABC):
    """A measurement on given records: no sampling from a bare prefix."""

    needs_base: ClassVar[bool] = False  # a policy without models.base is refused
    needs: ClassVar[frozenset[Capability]] = frozenset()  # of the candidate, besides sampling and reading

    kind: str
    name: Annotated[str, Field(pattern=r"^[a-z0-9_.-]+$", max_length=40)] | None = Field(
        default=None, description="Name in reports and gate rules; by default the kind, numbered where it repeats."
    )

    @property
    def label(self) -> str:
        """The probe's name in reports, gate rules and file names."""
        assert self.name, "a probe is named when the policy is loaded"
        return self.name

    def not_for(self, dataset: Evidence) -> str:  # noqa: ARG002 - most probes fit every dataset
        """Why this probe says nothing of a dataset ("" where it fits): a sentence for the report."""
        return ""


class LikelihoodProbe(Probe):
    """A probe that only reads likelihoods."""

    @abstractmethod
    def readings(self) -> list[Reading]:
        """The passes that it needs. A pass that several probes need is made once."""

    @abstractmethod
    def measure(self, evidence: Evidence) -> ProbeResult:
        """The figures, from the readings alone: no model is open."""


class ModelProbe(Probe):
    """A probe that needs the candidate itself: it samples continuations, or takes gradients."""

    likelihoods: ClassVar[Likelihoods] = "whole"  # what the candidate must tell of given texts

    @abstractmethod
    def observe(self, model: LanguageModel, evidence: Evidence) -> ProbeResult:
        """The figures, while the candidate is open. Kept on disk: an interrupted run does not repeat it."""

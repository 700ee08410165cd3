"""What an attack is: a policy section that turns an open model into sampling requests."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from auditkit.models.base import LanguageModel
from auditkit.records import Attacker, Generation, Prefix, Sampler, SamplingRequest
from auditkit.registry import Plugin


class Attack(Plugin, ABC):
    """Samples many times from one or more prefixes; what they are is the attack's own business."""

    kind: str
    name: Annotated[str, Field(pattern=r"^[a-z0-9_.-]+$", max_length=40)] | None = Field(
        default=None, description="Name in reports and gate rules; by default the kind, numbered where it repeats."
    )
    samples: Annotated[int, Field(ge=1, le=10_000_000, description="Generations in all.")]
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536, description="Tokens a generation at most.")] = 512
    temperature: Annotated[float, Field(ge=0, le=10, description="0 is greedy.")] = 1.0
    top_k: Annotated[int, Field(ge=0, description="0: no truncation.")] = 0
    top_p: Annotated[float, Field(gt=0, le=1, description="1: no truncation.")] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    attackers: ClassVar[frozenset[Attacker]] = frozenset({"open_weights", "raw_api"})  # who can make it

    @abstractmethod
    def prefixes(self, model: LanguageModel) -> list[Prefix]:
        """The literal prefixes of this attack on this model, at least one; samples are shared out evenly."""

    def run(self, model: LanguageModel, request: SamplingRequest) -> list[Generation]:
        """The samples of one request, in ordinal order; an attack that asks more than once says how here."""
        return model.sample(request)

    def can_be_made_by(self, attacker: Attacker) -> bool:
        """Whether this attacker has what it takes."""
        return attacker in self.attackers

    @property
    def whole_records(self) -> bool:
        """Whether its generations can hold whole records; else they are compared with prompts alone."""
        return True

    @property
    def label(self) -> str:
        """The attack's name in reports, gate rules and file names."""
        assert self.name, "an attack is named when the policy is loaded"
        return self.name

    @property
    def sampler(self) -> Sampler:
        """The declared sampler."""
        return Sampler(self.temperature, self.top_k, self.top_p, self.max_new_tokens)

    def requests(self, prefixes: list[Prefix], batch_size: int) -> Iterator[SamplingRequest]:
        """The attack as units of at most ``batch_size`` samples, each with its own seed."""
        share, rest = divmod(self.samples, len(prefixes))
        ordinal = 0
        for position, prefix in enumerate(prefixes):
            left = share + (position < rest)
            while left:
                count = min(batch_size, left)
                yield SamplingRequest(self.label, prefix, self.sampler, count, self._unit_seed(ordinal), ordinal)
                ordinal += count
                left -= count

    def _unit_seed(self, ordinal: int) -> int:
        """A seed of its own for each unit, independent of how the run is cut by interruptions."""
        digest = hashlib.sha256(f"{self.name}/{self.seed}/{ordinal}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

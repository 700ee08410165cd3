"""What a mitigation is: a policy section that changes the weights, or what stands around them, and becomes an arm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from auditkit.attacks.base import Attack
from auditkit.models.base import LanguageModel, ModelBackend
from auditkit.records import ATTACKERS, Attacker, Estimate, Fact, Record, Stage
from auditkit.registry import Plugin

Place = Literal["training", "weights", "decoding", "serving"]
Measure = Literal["embedding", "levenshtein"]
Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Tell = Callable[[str, int, int], None]  # what is done, steps done, steps in all


@dataclass(frozen=True)
class Declared:
    """One declared dataset. ``clusters`` (members,) labels near-duplicates; ``threshold`` is tau of the records' first
    view, None where uncalibrated."""

    name: str
    stage: Stage
    members: Sequence[Record]
    controls: Sequence[Record]
    clusters: Indices
    threshold: float | None


@dataclass(frozen=True)
class Workshop:
    """What a mitigation may use, whatever it changes.

    Attributes:
        folder: the arm's own, inside the run folder; new weights, filters and anything secret go there, owner-only.
        candidate, base: the models of the policy; ``base`` None where none is declared.
        datasets: what must not leak.
        leaked: dataset -> positions of the members that the baseline's attacks reached; computed when first called.
        similarity: dataset, texts, measure -> (texts,) similarity to the best match among the members, in [0, 1]
            (embedding: the cosine of the policy's embedder; levenshtein: 0 below 0.5).
        open_for_training: model (float32, a torch module, in training mode) and tokenizer of a backend's weights.
        seed: of everything drawn here.
        secret: the project's; key of whatever is keyed.
        tell: somebody who wants to know how far it is.
    """

    folder: Path
    candidate: ModelBackend
    base: ModelBackend | None
    datasets: Sequence[Declared]
    leaked: Callable[[], Mapping[str, Indices]]
    similarity: Callable[[str, Sequence[str], Measure], Floats]
    open_for_training: Callable[[ModelBackend], tuple[Any, Any]]
    seed: int
    secret: bytes
    tell: Tell = lambda *_: None


@dataclass(frozen=True)
class Made:
    """Weights to audit, and what there is to say of how they came about (epsilon, steps, loss ...)."""

    backend: ModelBackend
    facts: tuple[Fact, ...] = ()


class Mitigation(Plugin, ABC):
    """One arm of the audit, or several of one kind (``arms``)."""

    acts_on: ClassVar[Place]
    # Who cannot simply leave it out. Against anybody else it means nothing, and the arm cannot turn the gate green.
    withstands: ClassVar[frozenset[Attacker]]
    summary: ClassVar[str]  # one sentence for the report: what it does
    source: ClassVar[str] = ""  # where it comes from

    kind: str
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=40)] | None = Field(
        default=None, description="Name of the arm; by default the kind, numbered where it repeats."
    )
    attacker: Attacker | None = Field(
        default=None,
        description="Who attacks this arm. By default the planned release's attacker, or the strongest that the "
        "mitigation means anything against.",
    )

    adaptive_samples: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None,
        description="Generations of each attack that knows the mitigation, at most; by default as in the policy.",
    )

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.attacker is not None and self.attacker not in self.withstands:
            listed = ", ".join(one for one in ATTACKERS if one in self.withstands)
            raise ValueError(f"{self.kind} means nothing against {self.attacker}; 'attacker' can be {listed}")
        return self

    @property
    def label(self) -> str:
        """The arm's name in reports, gate rules and file names."""
        assert self.name, "a mitigation is named when the policy is loaded"
        return self.name

    def arms(self) -> Sequence[Mitigation]:
        """The arms of this section, each with a name of its own; most have one."""
        return (self,)

    def resolved(self, folder: Path) -> Self:  # noqa: ARG002 - for those that read files
        """The same section with relative paths resolved against the policy's folder."""
        return self

    def missing(self) -> str | None:
        """The extra to install where this cannot be done here, else None."""
        return None

    @property
    def changes_weights(self) -> bool:
        """Whether the weights are others than the baseline's: then the probes are asked again."""
        return self.acts_on in ("training", "weights")

    @property
    def needs_base(self) -> bool:
        """Whether the policy has to declare the base model."""
        return False

    def check(self, candidate: ModelBackend) -> None:
        """Complain of what is wrong with its files before anything is run.

        Raises:
            AuditkitError: a file is missing, or cannot be read.
        """

    @property
    def costs_when_writing(self) -> bool:
        """Whether what it costs shows only in what the model writes, and not in what it reads."""
        return False

    @property
    def has_gradients(self) -> bool:
        """Whether gradients can still be taken through the arm's network."""
        return True

    @property
    def declared(self) -> dict[str, Any]:
        """The section as the report shows it, as JSON knows it."""
        return self.model_dump(mode="json", exclude={"kind", "name", "attacker", "adaptive_samples"})

    @property
    def probed_bare(self) -> bool:
        """Whether probes read the weights with no server in front: where that one is no part of what was changed."""
        return False

    @property
    def untried(self) -> str:
        """What the policy takes from the attack of somebody who knows the mitigation, as a sentence; "" is nothing."""
        return ""

    def make(self, workshop: Workshop) -> Made:
        """The weights of this arm; the candidate's own where the mitigation changes none.

        What an earlier process left in ``workshop.folder`` is taken up again, finished or not.

        Raises:
            MitigationFailedError: training diverged, or there is nothing to do it with; the arm is reported so.
            MissingExtraError: a library is missing.
        """
        return Made(workshop.candidate)

    def serve(self, model: LanguageModel, workshop: Workshop) -> LanguageModel:  # noqa: ARG002
        """The model as this arm's attacker meets it."""
        return model

    def adaptive(self, attacks: Sequence[Attack], workshop: Workshop) -> Sequence[Attack]:  # noqa: ARG002
        """What an attacker who knows the mitigation does besides: attacks with names of their own, in addition.

        ``attacks`` are the policy's that this arm's attacker can make; take sample counts, lengths and seeds from them.
        """
        return ()

    def utility(self, served: LanguageModel, workshop: Workshop) -> Sequence[Estimate]:  # noqa: ARG002
        """Costs that only this mitigation has (false blocks, latency), beside those that every arm is asked for."""
        return ()


class WeightMitigation(Mitigation, ABC):
    """Changes the weights, so it holds against everybody, the owner of the weights included."""

    acts_on: ClassVar[Place] = "weights"
    withstands: ClassVar[frozenset[Attacker]] = frozenset(ATTACKERS)

    @abstractmethod
    def make(self, workshop: Workshop) -> Made: ...


class ServingMitigation(Mitigation, ABC):
    """Stands between the weights and whoever asks: nothing for somebody who has the weights."""

    acts_on: ClassVar[Place] = "serving"
    withstands: ClassVar[frozenset[Attacker]] = frozenset({"raw_api", "chat_api"})

    @abstractmethod
    def serve(self, model: LanguageModel, workshop: Workshop) -> LanguageModel: ...

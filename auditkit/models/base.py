"""What attacks and probes know of a model, and how a policy's model section becomes one."""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from auditkit.records import Generation, ModelIdentity, Prefix, SamplingRequest
from auditkit.registry import Plugin


@dataclass(frozen=True)
class TurnFormat:
    """How a chat template marks turns, read off its own output on marker texts.

    ``user_close`` + ``assistant_open`` is the turn change; ``assistant_close`` ends a record. All literal text,
    special tokens included.
    """

    user_open: str
    turn_change: str
    assistant_close: str


class LanguageModel(ABC):
    """An open model under attack. A context manager: leaving it frees the weights."""

    identity: ModelIdentity

    @abstractmethod
    def template_prefix(self, system: str | None) -> Prefix:
        """The chat template's opening up to the user's first word.

        ``system`` None keeps the template's own default system text, "" leaves the system turn out where the
        template can do without.

        Raises:
            TemplateError: the model carries no template, or it cannot be rendered.
        """

    @abstractmethod
    def literal_prefix(self, text: str) -> Prefix:
        """A prefix given as text, special tokens recognised, nothing added."""

    @abstractmethod
    def bos_prefix(self) -> Prefix:
        """The beginning-of-sequence token alone (the model's own substitute where it has none)."""

    @abstractmethod
    def sample(self, request: SamplingRequest) -> list[Generation]:
        """``request.count`` samples, reproducible from ``request.seed``, in ordinal order.

        A sample runs through the user's turn, the turn change and the assistant's turn, and stops after the
        assistant's end of turn or at ``max_new_tokens``. Where the model stops by itself after the user's turn,
        the template's own delimiter is appended and it goes on (METRICS.md, Text and boundaries).
        """

    @abstractmethod
    def sequence_logprobs(self, texts: Sequence[str], prefix: Prefix) -> npt.NDArray[np.float64]:
        """(n,) natural-log probabilities of the texts' tokens given the prefix, summed; first token included."""

    def close(self) -> None:  # noqa: B027 - nothing to free is the usual case
        """Free the weights."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True)
class ModelPreflight:
    """What can be said of a model without opening it."""

    identity: ModelIdentity | None  # None where the files are not on this machine (a hub model not downloaded)
    chat_template: str | None
    bos_token: str
    eos_token: str
    warnings: tuple[str, ...] = ()
    template_date: datetime.date | None = None  # what a template that prints the date is told


class ModelBackend(Plugin, ABC):
    """A policy's model section: which program runs which weights."""

    backend: str
    batch_size: int = 256

    @abstractmethod
    def preflight(self, role: str) -> ModelPreflight:
        """Digest the files and find the chat template, without loading weights.

        Raises:
            ModelError: files missing, pickle weights, unreadable header.
        """

    def fetch(self) -> None:
        """Bring a model that is declared by its place on a hub to this machine; nothing for what is here.

        Raises:
            ModelError: it cannot be fetched.
        """

    @abstractmethod
    def open(self, role: str) -> LanguageModel:
        """Load the model."""

    def resolved(self, folder: Path) -> Self:  # noqa: ARG002 - for the backends that read files
        """The same section with relative paths resolved against the policy's folder."""
        return self

    def provenance(self) -> dict[str, Any]:
        """Versions and devices that bear on reproducibility, for the report."""
        return {"backend": self.backend, "batch_size": self.batch_size}

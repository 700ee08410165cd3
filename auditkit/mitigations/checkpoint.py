"""Weights that the user made elsewhere, audited as an arm of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Made, WeightMitigation, Workshop
from auditkit.mitigations.changed_weights import UNPACKED, told_plainly
from auditkit.models.base import ModelBackend
from auditkit.records import Fact
from auditkit.training.recipe import resolved_path

HUB = "hub://"
PINNED = re.compile(r"hub://[\w.-]+(?:/[\w.-]+)?@[0-9a-f]{40}")


class Checkpoint(WeightMitigation):
    """Whatever was done to these weights, they are attacked like any others; what was done is the user's word."""

    summary: ClassVar[str] = "Weights made elsewhere; what was done to them is declared, not checked."

    kind: Literal["checkpoint"]
    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4096,
            description="A folder or one .gguf file, relative to the policy, or hub://org/name@<40-digit commit>.",
        ),
    ]
    described: Annotated[
        str, Field(min_length=1, max_length=2000, description="What was done, in a sentence; printed in the report.")
    ]

    @field_validator("path")
    @classmethod
    def _pinned(cls, path: str) -> str:
        if path.startswith(HUB) and not PINNED.fullmatch(path):
            raise ValueError("a hub model is written hub://org/name@<commit>, the commit with all its 40 hex digits")
        return path

    def resolved(self, folder: Path) -> Self:
        if self.path.startswith(HUB):
            return self
        return self.model_copy(update={"path": resolved_path(folder, self.path)})

    def check(self, candidate: ModelBackend) -> None:
        self._backend(candidate).preflight(self.kind)

    def make(self, workshop: Workshop) -> Made:
        with told_plainly():
            backend = self._backend(workshop.candidate, workshop.folder / UNPACKED)
            backend.fetch()
            identity = backend.preflight(self.kind).identity
        facts = [Fact("described", self.described, "as declared, not checked")]
        if identity:
            facts.append(Fact("sha256", identity.sha256, "of the weights"))
        return Made(backend, tuple(facts))

    def _backend(self, candidate: ModelBackend, scratch: Path | None = None) -> ModelBackend:
        """The candidate's section with these weights."""
        if not self.path.startswith(HUB):
            return candidate.with_weights(Path(self.path), scratch)
        if "path" not in type(candidate).model_fields:
            raise MitigationFailedError(f"the {candidate.backend} backend takes no weights", "use transformers")
        return candidate.model_copy(update={"path": self.path, "allow_pickle": False})

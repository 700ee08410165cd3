"""Weights that a mitigation saved in an earlier run: believed where they are what the policy says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Workshop
from auditkit.mitigations.examples import members_digest
from auditkit.mitigations.saved_weights import Saved
from auditkit.mitigations.starting_point import digest
from auditkit.models.base import ModelBackend
from auditkit.records import Fact

ANOTHER = "declare it as it was made, train it again by leaving out weights, or declare kind: checkpoint"


def refuse_other_weights(folder: Path, saved: Saved, workshop: Workshop) -> None:
    """Refuse weights of another model or policy.

    Raises:
        MitigationFailedError: made from another model, or while the policy declared other records: what was never
            trained on cannot be given away.
    """
    if (backend := _start(saved, workshop)) is not None:
        refuse_difference(folder, "a starting model of sha256", saved.base, digest(backend))
    if saved.members != members_digest(workshop.datasets):
        raise MitigationFailedError(f"{folder}: made when the policy declared other records", ANOTHER)


def refuse_difference(folder: Path, what: str, was: Any, declared: Any) -> None:
    """Raises MitigationFailedError where something was not as it is declared."""
    if was != declared:
        raise MitigationFailedError(f"{folder}: made with {what} {was}, and the policy says {declared}", ANOTHER)


def unchecked(saved: Saved, workshop: Workshop) -> tuple[Fact, ...]:
    """What nobody could check."""
    if _start(saved, workshop) is not None:
        return ()
    return (Fact("made from", saved.base, "sha256; not checked, for the policy declares no base model"),)


def _start(saved: Saved, workshop: Workshop) -> ModelBackend | None:
    """The policy's model that they say they were made from; None where it declares no base."""
    recipe = saved.parameters.get("recipe")
    start = recipe.get("start") if isinstance(recipe, dict) else None
    return workshop.candidate if start == "candidate" else workshop.base

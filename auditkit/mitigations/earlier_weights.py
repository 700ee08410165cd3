"""Weights that a mitigation saved in an earlier run: believed where they are what the policy says of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Made, Workshop
from auditkit.mitigations.examples import members_digest
from auditkit.mitigations.saved_weights import Saved, read_saved
from auditkit.mitigations.starting_point import digest
from auditkit.models.base import ModelBackend
from auditkit.records import Fact

if TYPE_CHECKING:
    from auditkit.mitigations.retraining import TrainingMitigation

NOT_OF_WEIGHTS = frozenset({"kind", "name", "attacker", "adaptive_samples", "weights", "recipe"})
ANOTHER = "declare it as it was made, train it again by leaving out weights, or declare kind: checkpoint"


def earlier(folder: Path, declared: TrainingMitigation, workshop: Workshop) -> Made:
    """The candidate with weights of an earlier run.

    Raises:
        MitigationFailedError: they are not what the policy says of them.
    """
    saved = saved_as_declared(folder, declared)
    _refuse_other_weights(folder, saved, workshop)
    return Made(workshop.candidate.with_weights(folder), (*saved.facts, *_unchecked(saved, workshop)))


def saved_as_declared(folder: Path, declared: TrainingMitigation) -> Saved:
    """What was said of the weights when they were saved, where that is what the policy says.

    Raises:
        MitigationFailedError: another mitigation made them, or the same with other parameters.
    """
    saved, kind = read_saved(folder), type(declared)
    _refuse_difference(folder, "kind", saved.kind, declared.kind)
    try:
        was = kind.model_validate({"kind": declared.kind, **saved.parameters})
    except ValidationError:
        raise MitigationFailedError(f"{folder}: its parameters are none of {declared.kind}", ANOTHER) from None
    for name in kind.model_fields.keys() - NOT_OF_WEIGHTS - declared.not_of_weights:
        _refuse_difference(folder, name, getattr(was, name), getattr(declared, name))
    if "recipe" in declared.model_fields_set:
        then, now = was.written_parameters()["recipe"], declared.written_parameters()["recipe"]
        for name in now:
            _refuse_difference(folder, f"recipe.{name}", then[name], now[name])
    return saved


def _refuse_other_weights(folder: Path, saved: Saved, workshop: Workshop) -> None:
    """Refuse weights of another model or policy.

    Raises:
        MitigationFailedError: made from another model, or while the policy declared other records: what was never
            trained on cannot be given away.
    """
    if (backend := _start(saved, workshop)) is not None:
        _refuse_difference(folder, "a starting model of sha256", saved.base, digest(backend))
    if saved.members != members_digest(workshop.datasets):
        raise MitigationFailedError(f"{folder}: made when the policy declared other records", ANOTHER)


def _refuse_difference(folder: Path, what: str, was: Any, declared: Any) -> None:
    """Raises MitigationFailedError where something was not as it is declared."""
    if was != declared:
        raise MitigationFailedError(f"{folder}: made with {what} {was}, and the policy says {declared}", ANOTHER)


def _unchecked(saved: Saved, workshop: Workshop) -> tuple[Fact, ...]:
    """What nobody could check."""
    if _start(saved, workshop) is not None:
        return ()
    return (Fact("made from", saved.base, "sha256; not checked, for the policy declares no base model"),)


def _start(saved: Saved, workshop: Workshop) -> ModelBackend | None:
    """The policy's model that they say they were made from; None where it declares no base."""
    recipe = saved.parameters.get("recipe")
    start = recipe.get("start") if isinstance(recipe, dict) else None
    return workshop.candidate if start == "candidate" else workshop.base

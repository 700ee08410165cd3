"""Weights that a mitigation saved in an earlier run: believed where they are what the policy says of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Workshop
from auditkit.mitigations.saved_weights import Saved, read_saved
from auditkit.mitigations.starting_point import digest
from auditkit.records import Fact


def earlier_facts(
    folder: Path, kind: str, declared: Mapping[str, Any], aside: Collection[str], workshop: Workshop
) -> tuple[Fact, ...]:
    """What came of the weights when they were made.

    Args:
        folder: that a mitigation saved.
        kind: of the mitigation that the policy declares.
        declared: its parameters, as they are saved.
        aside: those of them that change no weights, or that the policy leaves open.
        workshop: whose base or candidate they have to be made from.

    Raises:
        MitigationFailedError: they were made in another way, or from other weights than the policy's.
    """
    saved = read_saved(folder)
    for what, was, now in _differences(saved, kind, {k: v for k, v in declared.items() if k not in aside}, workshop):
        hint = "declare it as it was made, train it again by leaving out weights, or declare kind: checkpoint"
        raise MitigationFailedError(f"{folder}: made with {what} {was}, and the policy says {now}", hint)
    return saved.facts


def _differences(
    saved: Saved, kind: str, declared: Mapping[str, Any], workshop: Workshop
) -> Iterator[tuple[str, Any, Any]]:
    """What of the saved weights is not as declared, with both."""
    if saved.kind != kind:
        yield "kind", saved.kind, kind
        return
    for name, value in declared.items():
        if name in saved.parameters and saved.parameters[name] != value:
            yield name, saved.parameters[name], value
    start = dict(saved.parameters.get("recipe") or {}).get("start", "base")
    backend = workshop.base if start == "base" else workshop.candidate
    if backend is not None and (sha256 := digest(backend)) != saved.base:
        yield f"a {start} model of sha256", saved.base, sha256

"""What a policy's plug-ins say of themselves, asked of the raw data: nothing is taken for granted but the kind."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ValidationError

from auditkit.probes.base import Probe
from auditkit.registry import Family, kinds, plugin_class


def needs_base(kind: Any) -> bool:
    return bool(getattr(_class_of("probes", kind), "needs_base", False))


def is_probe(kind: Any) -> bool:
    """Whether a kind of attack asks of given records, and samples from no bare prefix."""
    found = _class_of("attacks", kind)
    return isinstance(found, type) and issubclass(found, Probe)


def lacking(family: Literal["attacks", "probes"], kind: Any, backend: Any) -> list[str]:
    """What a plug-in needs of the candidate and its backend has not, by name; empty where either is unknown."""
    able: frozenset[str] | None = getattr(_class_of("models", backend), "capabilities", None)
    needed: frozenset[str] = getattr(_class_of(family, kind), "needs", frozenset())
    return sorted(needed - able) if able is not None else []


def lacking_to_train(backend: Any) -> bool:
    """Whether this backend's weights cannot be trained here; False where it is unknown."""
    able: frozenset[str] | None = getattr(_class_of("models", backend), "capabilities", None)
    return able is not None and "gradients" not in able


def arm_names(section: dict[str, Any]) -> list[str]:
    """What the arms of a mitigation are called; its own name where the section is wrong."""
    found = _class_of("mitigations", section.get("kind"))
    try:
        return [arm.label for arm in found.model_validate(section).arms()] if found else [str(section["name"])]
    except ValidationError:
        return [str(section["name"])]


def sends_texts_away(section: dict[str, Any]) -> bool:
    kind = section.get("kind")
    if not isinstance(kind, str) or kind not in kinds("embedders"):
        return False
    try:
        embedder = plugin_class("embedders", kind)
    except (ImportError, AttributeError):
        return False  # the schema says what is wrong
    try:
        return bool(embedder.model_validate(section).external)
    except ValidationError:  # another parameter is wrong; where texts go is known all the same
        return bool(embedder.model_construct(**section).external)


def _class_of(family: Family, kind: Any) -> Any:
    """The class behind a kind, None where there is none: the schema says what is wrong then."""
    if not isinstance(kind, str) or kind not in kinds(family):
        return None
    try:
        return plugin_class(family, kind)
    except (ImportError, AttributeError):
        return None

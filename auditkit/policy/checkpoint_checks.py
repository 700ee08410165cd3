"""What is wrong with a chain of checkpoints before any model is looked at: said where the policy is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from auditkit.models.base import ModelBackend
from auditkit.policy.served_checks import Complaint
from auditkit.policy.yaml_source import Document
from auditkit.registry import kinds, plugin_class

FEWEST, MOST = 2, 20


def checkpoint_complaints(document: Document) -> Iterator[Complaint]:
    """Everything that is wrong with the policy's checkpoints as they stand there."""
    listed = document.data.get("checkpoints")
    if not isinstance(listed, list) or not listed:
        return
    if not FEWEST <= len(listed) <= MOST:
        message = f"`checkpoints`: a chain has {FEWEST} to {MOST} models, and here are {len(listed)}"
        yield ("checkpoints",), message, "begin with the base model, and end with the candidate"
    for position in _without_controls(document):
        message = "the stage that a record was learnt in is told from controls, and this dataset has none"
        yield ("datasets", position), message, "give controls: records of the same kind that no stage was trained on"
    for position, section in enumerate(listed):
        model = _model(section)
        if model is not None and (model.reach != "open_weights" or model.likelihoods != "whole"):
            message = f"`checkpoints.{position}.model`: a model that is only served cannot be read"
            yield ("checkpoints", position, "model"), message, "give the weights of every checkpoint"


def _without_controls(document: Document) -> list[int]:
    listed = document.data.get("datasets")
    sections = listed if isinstance(listed, list) else []
    return [place for place, one in enumerate(sections) if isinstance(one, dict) and not one.get("controls")]


def _model(section: Any) -> ModelBackend | None:
    """The section's model as its class has it; None where it is wrong, which the schema says."""
    given = section.get("model") if isinstance(section, dict) else None
    kind = given.get("backend") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in kinds("models"):
        return None
    try:
        found = plugin_class("models", kind).model_validate(given)
    except (ImportError, AttributeError, ValidationError):
        return None
    return found if isinstance(found, ModelBackend) else None

"""What a training mitigation starts from: the base's weights, dressed as the candidate is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from auditkit.errors import MitigationFailedError
from auditkit.models.base import ModelBackend


class Models(Protocol):
    """What of a workshop is needed here."""

    @property
    def candidate(self) -> ModelBackend: ...

    @property
    def base(self) -> ModelBackend | None: ...

    @property
    def open_for_training(self) -> Callable[[ModelBackend], tuple[Any, Any]]: ...


def starting_point(start: Literal["base", "candidate"], workshop: Models) -> tuple[Any, Any, str]:
    """Model (every weight trainable), tokenizer, sha256 of the weights.

    The base reads and writes with the candidate's tokenizer and chat template where they differ from its own: it is to
    become what the candidate would have been.

    Raises:
        MitigationFailedError: the policy declares no base, or the two have other tokens under the same ids.
    """
    if start == "candidate":
        model, tokenizer = workshop.open_for_training(workshop.candidate)
        return model.requires_grad_(True), tokenizer, digest(workshop.candidate)
    if workshop.base is None:
        hint = "declare models.base, or start from what would ship with recipe: {start: candidate}"
        raise MitigationFailedError("the policy declares no base model to retrain", hint)
    model, tokenizer = workshop.open_for_training(workshop.base)
    if tokenizer.chat_template != workshop.candidate.preflight("candidate").chat_template:
        tokenizer = _candidate_s(workshop, tokenizer)
        if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
            model.resize_token_embeddings(len(tokenizer))
    return model.requires_grad_(True), tokenizer, digest(workshop.base)


def digest(backend: ModelBackend) -> str:
    """sha256 of a backend's weights."""
    identity = backend.preflight("training").identity
    return identity.sha256 if identity else ""


def _candidate_s(workshop: Models, own: Any) -> Any:
    _, tokenizer = workshop.open_for_training(workshop.candidate)
    known = tokenizer.get_vocab()
    if any(known.get(token) != at for token, at in own.get_vocab().items()):
        hint = "declare the base that the candidate was made from, or use recipe: {start: candidate}"
        raise MitigationFailedError("base and candidate have other tokens under the same ids", hint)
    return tokenizer

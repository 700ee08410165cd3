"""A model that is opened when it is first needed, and only once: a resumed run may not need it at all."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from auditkit.models.base import LanguageModel, ModelBackend


class OpenModel:
    """A context manager around a declared model; leaving it frees the weights, where they were loaded."""

    def __init__(
        self, backend: ModelBackend, role: str, served: Callable[[LanguageModel], LanguageModel] = lambda model: model
    ) -> None:
        self.backend = backend
        self.role = role
        self._served = served
        self._opened: LanguageModel | None = None
        self._model: LanguageModel | None = None

    @property
    def model(self) -> LanguageModel:
        """The loaded model, as whoever attacks it meets it."""
        if self._model is None:
            self._model = self._served(self.weights)
        return self._model

    @property
    def weights(self) -> LanguageModel:
        """The loaded model with nothing in front of it: what probes read, for no client of a server could."""
        if self._opened is None:
            self._opened = self.backend.open(self.role)
        return self._opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._opened is not None:
            self._opened.close()
        self._opened = self._model = None

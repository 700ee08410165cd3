"""A model that is opened when it is first needed, and only once: a resumed run may not need it at all."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from auditkit.models.base import LanguageModel, ModelBackend


class OpenModel:
    """A context manager around a declared model; leaving it frees the weights, where they were loaded."""

    def __init__(
        self,
        backend: ModelBackend,
        role: str,
        served: Callable[[LanguageModel], LanguageModel] | None = None,
        *,
        probed_bare: bool = False,
    ) -> None:
        self.backend = backend
        self.role = role
        self._served = served
        self._probed_bare = probed_bare
        self._opened: LanguageModel | None = None
        self._model: LanguageModel | None = None

    @property
    def bare(self) -> bool:
        """Whether nothing stands between the weights and who asks: another process can open the same."""
        return self._served is None and not self.backend.one_process

    @property
    def model(self) -> LanguageModel:
        """The loaded model, as whoever attacks it meets it."""
        if self._model is None:
            self._model = self._served(self._weights) if self._served else self._weights
        return self._model

    @property
    def probed(self) -> LanguageModel:
        """The loaded model as probes read it: with nothing in front where ``probed_bare`` says so."""
        return self._weights if self._probed_bare else self.model

    @property
    def _weights(self) -> LanguageModel:
        if self._opened is None:
            self._opened = self.backend.open(self.role)
        return self._opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._opened is not None:
            self._opened.close()
        self._opened = self._model = None

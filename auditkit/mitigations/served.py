"""A model behind a server: everything goes through to the model, save what a serving mitigation overrides."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from auditkit.models.base import GradientPair, Ids, LanguageModel, RecordTokens, TokenGuard, TokenReading
from auditkit.records import Generation, Prefix, Sampler, SamplingRequest, TurnFormat


class ServedModel(LanguageModel):
    """Hands every question on to ``inner``. Whoever opened the inner model closes it.

    ``opening`` is made of this object's own ``turn_format`` and ``template_prefix``, as a model's is.
    """

    def __init__(self, inner: LanguageModel) -> None:
        self.inner = inner
        self.identity = inner.identity

    @property
    def context(self) -> int:
        return self.inner.context

    def encode(self, text: str) -> Ids:
        return self.inner.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.inner.decode(ids)

    def turn_format(self) -> TurnFormat | None:
        return self.inner.turn_format()

    def record_tokens(self, prompt: str, response: str, turns: TurnFormat | None, prefix: Prefix) -> RecordTokens:
        return self.inner.record_tokens(prompt, response, turns, prefix)

    def read(
        self, texts: Sequence[Ids], prefix: Prefix, *, moments: bool = False, sampler: Sampler | None = None
    ) -> list[TokenReading]:
        return self.inner.read(texts, prefix, moments=moments, sampler=sampler)

    def asked(self, text: str, prefix: Prefix) -> Prefix:
        return self.inner.asked(text, prefix)

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        return self.inner.complete(prefixes, sampler, seed)

    def gradient_pairs(self, records: Sequence[RecordTokens], prefix: Prefix, layers: str = "") -> list[GradientPair]:
        return self.inner.gradient_pairs(records, prefix, layers)

    def guarded(self, guard: TokenGuard) -> LanguageModel:
        return self._around(self.inner.guarded(guard))

    def with_network(self, change: Callable[[Any], Any]) -> LanguageModel:
        return self._around(self.inner.with_network(change))

    def template_prefix(self, system: str | None) -> Prefix:
        return self.inner.template_prefix(system)

    def literal_prefix(self, text: str) -> Prefix:
        return self.inner.literal_prefix(text)

    def bos_prefix(self) -> Prefix:
        return self.inner.bos_prefix()

    def sample(self, request: SamplingRequest) -> list[Generation]:
        return self.inner.sample(request)

    def sequence_logprobs(self, texts: Sequence[str], prefix: Prefix) -> npt.NDArray[np.float64]:
        return self.inner.sequence_logprobs(texts, prefix)

    def _around(self, inner: LanguageModel) -> Self:
        """The same server in front of another model."""
        served = copy.copy(self)
        served.inner = inner
        return served

"""A Hugging Face causal language model under attack."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

from auditkit.errors import ModelError
from auditkit.models.attacked import stand_ins
from auditkit.models.base import GradientPair, LanguageModel, RecordTokens, TokenGuard, TokenReading
from auditkit.models.continuations import Continuing
from auditkit.models.delimiters import Ids
from auditkit.models.gradients import gradient_pairs
from auditkit.models.likelihood import read_tokens
from auditkit.models.sampling import Sampling
from auditkit.models.token_scores import Asked
from auditkit.models.tokenized_model import Template, TokenizedModel
from auditkit.records import Generation, ModelIdentity, Prefix, Sampler, SamplingRequest

T = TypeVar("T")


class TransformersModel(TokenizedModel):
    """A loaded model with its tokenizer."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        identity: ModelIdentity,
        template: Template,
        date: datetime.date,
        batch_size: int,
    ) -> None:
        super().__init__(tokenizer, identity=identity, template=template, date=date)
        self.model = model
        self.batch_size = batch_size
        self.guard: TokenGuard | None = None

    def sample(self, request: SamplingRequest) -> list[Generation]:
        limit = self._limit(request)
        sampling = Sampling(self.model, request, self._marks(request), self.decode, limit, self.guard)
        return self._within_memory(sampling.run)

    def read(
        self, texts: Sequence[Ids], prefix: Prefix, *, moments: bool = False, sampler: Sampler | None = None
    ) -> list[TokenReading]:
        self._refuse_unreadable(texts, prefix)
        asked = Asked(moments, sampler, stand_ins(self.delimiters) if sampler else ())
        read = self._within_memory(lambda: read_tokens(self.model, prefix.token_ids, texts, self.batch_size, asked))
        return [self._reading(ids, prefix, arrays, sampler) for ids, arrays in zip(texts, read, strict=True)]

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        continuing = Continuing(self.model, self.stops, self.context, self.batch_size, self.guard)
        return self._within_memory(lambda: continuing.run([prefix.token_ids for prefix in prefixes], sampler, seed))

    def gradient_pairs(self, records: Sequence[RecordTokens], prefix: Prefix, layers: str = "") -> list[GradientPair]:
        return self._within_memory(lambda: gradient_pairs(self.model, records, prefix, layers))

    def guarded(self, guard: TokenGuard) -> LanguageModel:
        held = copy.copy(self)
        held.guard = guard
        return held

    def with_network(self, change: Callable[[Any], Any]) -> LanguageModel:
        changed = copy.copy(self)
        changed.model = change(self.model)
        return changed

    def close(self) -> None:
        self.model = None
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @cached_property
    def context(self) -> int:
        """Tokens that the model can see at once."""
        known = getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        return int(known) if known else 2**31

    @property
    def end_ids(self) -> Sequence[object]:
        return self.model.config.eos_token_id, getattr(self.model.generation_config, "eos_token_id", None)

    def _within_memory(self, work: Callable[[], T]) -> T:
        import torch

        try:
            return work()
        except torch.OutOfMemoryError as error:
            raise ModelError("the device ran out of memory", "lower the model's batch_size") from error

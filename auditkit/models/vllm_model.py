"""A model in vLLM's engine under attack."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from auditkit.errors import MissingExtraError, ModelError
from auditkit.models.attacked import replaced, stand_ins
from auditkit.models.base import LanguageModel, TokenGuard, TokenReading
from auditkit.models.bulk_sampling import BulkSampling, Wanted, stretch_seed
from auditkit.models.continuations import refuse_unusable
from auditkit.models.delimiters import Ids
from auditkit.models.loading import first_line, refuse_code
from auditkit.models.token_scores import Asked
from auditkit.models.tokenized_model import Arrays, Template, TokenizedModel
from auditkit.models.vllm_engine import Engine
from auditkit.models.vllm_guard import leaves_nothing
from auditkit.records import Generation, ModelIdentity, Prefix, Sampler, SamplingRequest

LEAST_TEMPERATURE = 0.01  # vLLM takes less than that, other than 0, for this


class VllmModel(TokenizedModel):
    """A loaded model with its tokenizer. ``ends``: what its configuration names as ends of sequence."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Any,
        *,
        identity: ModelIdentity,
        template: Template,
        date: datetime.date,
        ends: Sequence[object],
    ) -> None:
        super().__init__(tokenizer, identity=identity, template=template, date=date)
        self.engine = engine
        self.ends = ends
        self.guard: TokenGuard | None = None

    @property
    def context(self) -> int:
        """Tokens that the model can see at once, less the one that vLLM always writes behind a text that it reads."""
        return self.engine.started.context - 1

    @property
    def end_ids(self) -> Sequence[object]:
        return self.ends

    def sample(self, request: SamplingRequest) -> list[Generation]:
        _refuse_small(request.sampler)
        marks = self._marks(request)
        write = self._writer(request.sampler, sorted(marks.events))
        return BulkSampling(request, marks, self.decode, self._limit(request), write, self._exhausted(request)).run()

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        _refuse_small(sampler)
        given = [prefix.token_ids for prefix in prefixes]
        refuse_unusable(given, self.context)
        if not given:
            return []
        stops = sorted(self.stops)
        wanted = [
            Wanted(ids, self._most(ids, sampler), stretch_seed("continuation", seed, at), prompt=len(ids))
            for at, ids in enumerate(given)
        ]
        found = self._writer(sampler, stops)(wanted)
        return [ids[:-1] if ids[-1] in self.stops else ids for (ids,) in found]

    def read(
        self, texts: Sequence[Ids], prefix: Prefix, *, moments: bool = False, sampler: Sampler | None = None
    ) -> list[TokenReading]:
        self._refuse_unreadable(texts, prefix)
        if not texts:
            return []
        start, given = len(prefix.token_ids), [(*prefix.token_ids, *ids) for ids in texts]
        if moments or (sampler and not _is_plain(sampler)):
            found = self.engine.read(given, start, Asked(moments, sampler, self._stand_ins(sampler)))
        else:
            found = self.engine.read(given, start, Asked())
            if sampler:
                self._add_sampled(found, texts, prefix)
        _refuse_unfinite(found)
        return [self._reading(ids, prefix, scores, sampler) for ids, scores in zip(texts, found, strict=True)]

    def guarded(self, guard: TokenGuard) -> LanguageModel:
        if self.engine.devices > 1:
            raise ModelError(
                "vLLM takes no guard where several devices share a model",
                "leave tensor_parallel_size at 1",
            )
        held = copy.copy(self)
        held.guard = guard
        return held

    def close(self) -> None:
        self.engine.close()

    def _limit(self, request: SamplingRequest) -> int:
        self._checked(request.prefix.token_ids, request.prefix.text)
        return self._most(request.prefix.token_ids, request.sampler)

    def _most(self, ids: Ids, sampler: Sampler) -> int:
        """New tokens behind these: to the end of what the model can see, all of it."""
        return min(sampler.max_new_tokens, self.engine.started.context - len(ids))

    def _writer(self, sampler: Sampler, stops: Sequence[int]) -> Callable[[Sequence[Wanted]], list[list[Ids]]]:
        return lambda wanted: self.engine.write(wanted, sampler, stops, self.guard)

    def _exhausted(self, request: SamplingRequest) -> Callable[[Sequence[int]], bool]:
        guard, vocabulary = self.guard, self.engine.started.vocabulary
        if guard is None:
            return lambda _: False
        first = 0 if guard.sees_prompt else len(request.prefix.token_ids)
        return lambda ids: leaves_nothing(guard, list(ids[first:]), vocabulary)

    def _stand_ins(self, sampler: Sampler | None) -> Ids:
        return stand_ins(self.delimiters) if sampler else ()

    def _add_sampled(self, found: Sequence[Arrays], texts: Sequence[Ids], prefix: Prefix) -> None:
        """Where nothing is truncated or tempered, what the sampler draws is what the model says.

        What is asked besides is how likely a stop token is in place of the turn change: one more text for each.
        """
        own, others = self._tokenizer(self.turn_format()), stand_ins(self.delimiters)
        for scores in found:
            scores["sampled"] = scores["logprobs"]
        if not others:
            return
        places = [replaced(prefix.token_ids, ids, own) for ids in texts]
        asked = [(row, at) for row, at in enumerate(places) if at is not None]
        more = [(*prefix.token_ids, *texts[row][:at], other) for row, at in asked for other in others]
        last = [scores["logprobs"][-1] for scores in self.engine.read(more, len(prefix.token_ids), Asked())]
        joint = iter(np.logaddexp.reduce(np.reshape(last, (-1, len(others))), axis=1))
        for scores, at in zip(found, places, strict=True):
            scores["beside"] = np.full(scores["logprobs"].size, -np.inf)
            if at is not None:
                scores["beside"][at] = next(joint)


def load_tokenizer(folder: Path) -> tuple[Any, Sequence[object]]:
    """The tokenizer of a folder, and what its configurations name as ends of sequence; no weights are loaded.

    Raises:
        MissingExtraError: vLLM, which brings transformers, is not installed.
        ModelError: the files are no model of a kind that transformers knows by itself.
    """
    refuse_code(folder)
    try:
        transformers: Any = import_module("transformers")
    except ImportError as error:
        raise MissingExtraError("vllm", "vllm") from error
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
        configs = [transformers.AutoConfig.from_pretrained(folder, **local)]
        if (folder / "generation_config.json").exists():
            configs.append(transformers.GenerationConfig.from_pretrained(folder, local_files_only=True))
    except Exception as error:  # hostile files can make the library raise anything
        raise ModelError(
            f"{folder}: transformers cannot read this model's tokenizer or configuration: {first_line(error)}",
            "check that the folder is whole, and that this version of transformers knows its architecture",
        ) from error
    return tokenizer, [getattr(config, "eos_token_id", None) for config in configs]


def _is_plain(sampler: Sampler) -> bool:
    return sampler.temperature == 1 and not sampler.top_k and sampler.top_p >= 1


def _refuse_small(sampler: Sampler) -> None:
    if 0 < sampler.temperature < LEAST_TEMPERATURE:
        raise ModelError(
            f"vLLM draws with no temperature between 0 and {LEAST_TEMPERATURE}", "use 0, or backend: transformers"
        )


def _refuse_unfinite(found: Sequence[Arrays]) -> None:
    if not all(np.isfinite(scores["logprobs"]).all() for scores in found):
        raise ModelError("the model gives log-probabilities that are not numbers", "try dtype: float32")

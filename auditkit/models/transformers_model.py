"""A Hugging Face causal language model under attack."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from auditkit.errors import ModelError, TemplateError
from auditkit.models.attacked import attacked, stand_ins
from auditkit.models.base import GradientPair, LanguageModel, RecordTokens, TokenGuard, TokenReading
from auditkit.models.chat_template import template_prefix, turn_format
from auditkit.models.continuations import Continuing
from auditkit.models.delimiters import Delimiters, Ids, Tokens, delimiters, without_template
from auditkit.models.gradients import gradient_pairs
from auditkit.models.likelihood import read_tokens
from auditkit.models.record_tokens import Located, Tokenizer, pieces_apart, record_tokens
from auditkit.models.sampling import Sampling
from auditkit.models.token_scores import Asked
from auditkit.records import Generation, ModelIdentity, Prefix, Sampler, SamplingRequest, TurnFormat

T = TypeVar("T")
Template = tuple[str | None, str, str]  # chat template, BOS token, EOS token


class TransformersModel(LanguageModel):
    """A loaded model with its tokenizer. ``template`` is the chat template as the files carry it, with BOS and EOS."""

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
        self.model = model
        self.tokenizer = tokenizer
        self.identity = identity
        self.chat_template, self.bos_token, self.eos_token = template
        self.date = date
        self.batch_size = batch_size
        self.guard: TokenGuard | None = None
        self._known: dict[TurnFormat | None, Tokenizer] = {}

    def template_prefix(self, system: str | None) -> Prefix:
        text = template_prefix(self._template(), **self._tokens_and_date(), system=system)
        name = {None: "default_system", "": "no_system"}.get(system, "system")
        return Prefix(name, text, self._checked(self.encode(text), text))

    def literal_prefix(self, text: str) -> Prefix:
        return Prefix("literal", text, self._checked(self.encode(text), text))

    def bos_prefix(self) -> Prefix:
        candidates = (
            (self.tokenizer.bos_token_id, ""),
            (self.tokenizer.eos_token_id, "the tokenizer has no BOS token: its EOS token stands in"),
            (self.tokenizer.pad_token_id, "the tokenizer has neither BOS nor EOS token: its padding token stands in"),
        )
        for token, note in candidates:
            if token is not None:
                text = self.tokenizer.convert_ids_to_tokens(token)
                return Prefix("bos", text, (token,), note or self._bos_note(token))
        raise ModelError("the tokenizer has no BOS, EOS or padding token", "use a literal prefix instead")

    def sample(self, request: SamplingRequest) -> list[Generation]:
        start = len(request.prefix.token_ids)
        self._checked(request.prefix.token_ids, request.prefix.text)
        limit = min(request.sampler.max_new_tokens, self.context - start)
        marks = self._tokenizer(request.prefix.turns or self.turn_format()).marks
        sampling = Sampling(self.model, request, marks, self.decode, limit, self.guard)
        return self._within_memory(sampling.run)

    def sequence_logprobs(self, texts: Sequence[str], prefix: Prefix) -> npt.NDArray[np.float64]:
        found = self.read([self.encode(text) for text in texts], prefix)
        return np.array([reading.logprobs.sum() for reading in found], np.float64)

    def read(
        self, texts: Sequence[Ids], prefix: Prefix, *, moments: bool = False, sampler: Sampler | None = None
    ) -> list[TokenReading]:
        self._refuse_unreadable(texts, prefix)
        asked = Asked(moments, sampler, stand_ins(self.delimiters) if sampler else ())
        read = self._within_memory(lambda: read_tokens(self.model, prefix.token_ids, texts, self.batch_size, asked))
        for ids, arrays in zip(texts, read, strict=True):
            beside = arrays.pop("beside")
            if sampler:
                sampled = arrays["sampled"]
                arrays["sampled"] = attacked(
                    prefix.token_ids, ids, sampled, beside, self._tokenizer(self.turn_format())
                )
        return [TokenReading(**arrays) for arrays in read]

    def turn_format(self) -> TurnFormat | None:
        return self._own_turns

    def record_tokens(self, prompt: str, response: str, turns: TurnFormat | None, prefix: Prefix) -> RecordTokens:
        return record_tokens(prompt, response, turns, prefix, self._tokenizer(turns))

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

    def encode(self, text: str) -> Ids:
        """The ids of a text, special tokens recognised, nothing added."""
        return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, as it is."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    @cached_property
    def context(self) -> int:
        """Tokens that the model can see at once."""
        known = getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        return int(known) if known else 2**31

    @cached_property
    def stops(self) -> frozenset[int]:
        """The ids at which a generation library would stop this model."""
        named = (
            self.tokenizer.eos_token_id,
            self.model.config.eos_token_id,
            getattr(self.model.generation_config, "eos_token_id", None),
        )
        listed = (token for one in named for token in (one if isinstance(one, list | tuple) else [one]))
        return frozenset(int(token) for token in listed if token is not None)

    @cached_property
    def delimiters(self) -> Delimiters:
        """The template's delimiters in this tokenizer's ids."""
        return self._tokenizer(self.turn_format()).marks

    @cached_property
    def _own_turns(self) -> TurnFormat | None:
        if self.chat_template is None:
            return None
        return turn_format(self.chat_template, **self._tokens_and_date())

    def _tokenizer(self, turns: TurnFormat | None) -> Tokenizer:
        """The tokenizer with the marks of any template."""
        if turns not in self._known:
            marks = delimiters(turns, self._tokens) if turns else without_template(self._tokens)
            self._known[turns] = Tokenizer(self.encode, self.decode, self._locate, marks)
        return self._known[turns]

    @cached_property
    def _tokens(self) -> Tokens:
        added = self.tokenizer.added_tokens_decoder
        special = {token for token, content in added.items() if content.special} | set(self.tokenizer.all_special_ids)
        return Tokens(self.encode, self.stops, frozenset(special), self._blank() - special, frozenset(added))

    def _locate(self, pieces: Sequence[str]) -> Located:
        """The ids of a text with their places in it, where the tokenizer knows those."""
        if not self.tokenizer.is_fast:
            return pieces_apart(pieces, self.encode)
        wanted = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
        found = self.tokenizer("".join(pieces), **wanted)
        places = found["offset_mapping"]
        return Located(tuple(found["input_ids"]), [start for start, _ in places], [end for _, end in places])

    def _blank(self) -> frozenset[int]:
        """Ids that are white space only."""
        ids = range(len(self.tokenizer))
        texts = self.tokenizer.batch_decode([[token] for token in ids], clean_up_tokenization_spaces=False)
        return frozenset(token for token, text in zip(ids, texts, strict=True) if not text.strip())

    def _template(self) -> str:
        if self.chat_template is None:
            raise TemplateError("the model carries no chat template", "give the attack a literal prefix")
        return self.chat_template

    def _tokens_and_date(self) -> dict[str, Any]:
        return {"bos_token": self.bos_token, "eos_token": self.eos_token, "date": self.date}

    def _bos_note(self, token: int) -> str:
        opens = token == self.delimiters.role_open or token in self.delimiters.user.ids
        return "this model's BOS token also opens a turn of its chat template" if opens else ""

    def _checked(self, ids: Ids, text: str) -> Ids:
        """The ids of a prefix that leaves room for at least one token."""
        if not ids:
            raise ModelError("the prefix has no token", "a model needs at least one to start from; use bos_prefix")
        if len(ids) >= self.context:
            raise ModelError(
                f"the prefix of {len(ids)} tokens ({len(text)} characters) fills the model's context of {self.context}",
                "use a shorter prefix",
            )
        return ids

    def _refuse_unreadable(self, texts: Sequence[Ids], prefix: Prefix) -> None:
        """Refuse texts that have no likelihood, or do not fit the context."""
        self._checked(prefix.token_ids, prefix.text)
        if empty := [index for index, ids in enumerate(texts) if not ids]:
            raise ValueError(f"texts without a token have no likelihood: index {_listed(empty)}")
        room = self.context - len(prefix.token_ids)
        if long := [index for index, ids in enumerate(texts) if len(ids) > room]:
            raise ModelError(
                f"{len(long)} texts are longer than the {room} tokens that the model's context leaves: "
                f"index {_listed(long)}",
                "leave them out of the likelihood probes",
            )

    def _within_memory(self, work: Callable[[], T]) -> T:
        import torch

        try:
            return work()
        except torch.OutOfMemoryError as error:
            raise ModelError("the device ran out of memory", "lower the model's batch_size") from error


def _listed(indexes: Sequence[int], most: int = 10) -> str:
    shown = ", ".join(map(str, indexes[:most]))
    return f"{shown} and {len(indexes) - most} more" if len(indexes) > most else shown

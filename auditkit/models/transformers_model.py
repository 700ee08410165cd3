"""A Hugging Face causal language model under attack."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from auditkit.errors import ModelError, TemplateError
from auditkit.models.base import LanguageModel
from auditkit.models.chat_template import template_prefix, turn_format
from auditkit.models.delimiters import Delimiters, Ids, Tokens, delimiters, without_template
from auditkit.models.likelihood import token_logprobs
from auditkit.models.sampling import Sampling
from auditkit.records import Generation, ModelIdentity, Prefix, SamplingRequest

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
        sampling = Sampling(self.model, request, self.delimiters, self.decode, limit)
        return self._guarded(sampling.run)

    def sequence_logprobs(self, texts: Sequence[str], prefix: Prefix) -> npt.NDArray[np.float64]:
        self._checked(prefix.token_ids, prefix.text)
        ids = [self.encode(text) for text in texts]
        if empty := [index for index, tokens in enumerate(ids) if not tokens]:
            raise ValueError(f"texts without a token have no likelihood: index {_listed(empty)}")
        room = self.context - len(prefix.token_ids)
        if long := [index for index, tokens in enumerate(ids) if len(tokens) > room]:
            raise ModelError(
                f"{len(long)} texts are longer than the {room} tokens that the model's context leaves: "
                f"index {_listed(long)}",
                "leave them out of the likelihood probes",
            )
        found = self._guarded(lambda: token_logprobs(self.model, prefix.token_ids, ids, self.batch_size))
        return np.array([logprobs.sum() for logprobs in found], np.float64)

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
        added = self.tokenizer.added_tokens_decoder
        special = {token for token, content in added.items() if content.special} | set(self.tokenizer.all_special_ids)
        tokens = Tokens(self.encode, self.stops, frozenset(special), self._blank() - special, frozenset(added))
        if self.chat_template is None:
            return without_template(tokens)
        return delimiters(turn_format(self.chat_template, **self._tokens_and_date()), tokens)

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

    def _guarded(self, work: Callable[[], T]) -> T:
        import torch

        try:
            return work()
        except torch.OutOfMemoryError as error:
            raise ModelError("the device ran out of memory", "lower the model's batch_size") from error


def _listed(indexes: Sequence[int], most: int = 10) -> str:
    shown = ", ".join(map(str, indexes[:most]))
    return f"{shown} and {len(indexes) - most} more" if len(indexes) > most else shown

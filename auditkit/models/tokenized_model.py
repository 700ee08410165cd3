"""A model behind a Hugging Face tokenizer: prefixes, records as tokens, delimiters; subclasses compute."""

from __future__ import annotations

import datetime
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.errors import ModelError, TemplateError
from auditkit.models.attacked import attacked
from auditkit.models.base import LanguageModel, RecordTokens, TokenReading
from auditkit.models.chat_template import template_prefix, turn_format
from auditkit.models.delimiters import Delimiters, Ids, Tokens, delimiters, without_template
from auditkit.models.record_tokens import Located, Tokenizer, pieces_apart, record_tokens
from auditkit.records import ModelIdentity, Prefix, Sampler, SamplingRequest, TurnFormat

Arrays = dict[str, npt.NDArray[Any]]  # the fields of ``token_scores.Scores`` of one text
Template = tuple[str | None, str, str]  # chat template, BOS token, EOS token


class TokenizedModel(LanguageModel):
    """``template``: the chat template as the files carry it, with BOS and EOS; ``date``: what it is told of the day."""

    def __init__(self, tokenizer: Any, *, identity: ModelIdentity, template: Template, date: datetime.date) -> None:
        self.tokenizer = tokenizer
        self.identity = identity
        self.chat_template, self.bos_token, self.eos_token = template
        self.date = date
        self._known: dict[TurnFormat | None, Tokenizer] = {}

    @property
    @abstractmethod
    def end_ids(self) -> Sequence[object]:
        """What the model's own configuration names as its ends of sequence: ids, lists of ids, None."""

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

    def sequence_logprobs(self, texts: Sequence[str], prefix: Prefix) -> npt.NDArray[np.float64]:
        found = self.read([self.encode(text) for text in texts], prefix)
        return np.array([reading.logprobs.sum() for reading in found], np.float64)

    def turn_format(self) -> TurnFormat | None:
        return self._own_turns

    def record_tokens(self, prompt: str, response: str, turns: TurnFormat | None, prefix: Prefix) -> RecordTokens:
        return record_tokens(prompt, response, turns, prefix, self._tokenizer(turns))

    def encode(self, text: str) -> Ids:
        """The ids of a text, special tokens recognised, nothing added."""
        return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, as it is."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    @cached_property
    def stops(self) -> frozenset[int]:
        """The ids at which a generation library would stop this model."""
        named = (self.tokenizer.eos_token_id, *self.end_ids)
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

    def _marks(self, request: SamplingRequest) -> Delimiters:
        """How turns are told apart behind a request's prefix."""
        return self._tokenizer(request.prefix.turns or self.turn_format()).marks

    def _limit(self, request: SamplingRequest) -> int:
        """New tokens of a sample at most."""
        self._checked(request.prefix.token_ids, request.prefix.text)
        return min(request.sampler.max_new_tokens, self.context - len(request.prefix.token_ids))

    def _reading(self, ids: Ids, prefix: Prefix, scores: Arrays, sampler: Sampler | None) -> TokenReading:
        """The scores of one text, with what the attack itself puts in counted."""
        beside = scores.pop("beside")
        if sampler:
            own = self._tokenizer(self.turn_format())
            scores["sampled"] = attacked(prefix.token_ids, ids, scores["sampled"], beside, own)
        return TokenReading(**scores)

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


def _listed(indexes: Sequence[int], most: int = 10) -> str:
    shown = ", ".join(map(str, indexes[:most]))
    return f"{shown} and {len(indexes) - most} more" if len(indexes) > most else shown

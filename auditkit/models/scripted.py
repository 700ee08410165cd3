"""The ``scripted`` backend: plays back given conversations under a small ChatML template. For tests and dry runs.

It needs no weights and no library, knows every part of the model interface, and can imitate what goes wrong with
real models: samples that are cut, empty or failed, and slow batches.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from auditkit.errors import ModelError
from auditkit.models.attacked import attacked
from auditkit.models.base import LanguageModel, ModelBackend, ModelPreflight, RecordTokens, TokenReading
from auditkit.models.delimiters import Ids, Tokens, delimiters, without_template
from auditkit.models.record_tokens import Located, Tokenizer, pieces_apart, record_tokens
from auditkit.models.regular import sha256_of
from auditkit.models.script import Line, read_script
from auditkit.models.turns import read_turns, turn_texts
from auditkit.models.unigram import Unigram
from auditkit.records import Finish, Generation, ModelIdentity, Prefix, Sampler, SamplingRequest, TurnFormat

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = TurnFormat(
    user_open="<|im_start|>user\n",
    turn_change="<|im_end|>\n<|im_start|>assistant\n",
    assistant_close="<|im_end|>\n",
)
# A token is a byte of UTF-8, or one of these.
SPECIAL = {"<|im_start|>": 256, "<|im_end|>": 257, "<|bos|>": 258}
PIECES = {number: text.encode() for text, number in SPECIAL.items()}
BOS, END = "<|bos|>", "<|im_end|>"
CONTEXT = 2**31  # nothing is too long for a unigram model
VOCABULARY = 256 + len(SPECIAL)
Share = Annotated[float, Field(ge=0, le=1)]


class ScriptedBackend(ModelBackend):
    """Plays back the lines of a JSONL file ({"user", "assistant", "weight"}), or lines written in the policy."""

    backend: Literal["scripted"]
    path: str | None = Field(default=None, min_length=1, description="A JSONL file, relative to the policy.")
    lines: tuple[Line, ...] = Field(default=(), description="The script itself, in place of a file.")
    batch_size: Annotated[int, Field(ge=1, le=65_536, description="Samples at once.")] = 256
    turn_change: Literal["model", "appended"] = Field(
        default="model", description="Whether samples claim that the model wrote the turn change itself."
    )
    cut: Share = Field(default=0.0, description="Share of samples that are cut in the middle.")
    empty: Share = Field(default=0.0, description="Share of samples without text.")
    failed: Share = Field(default=0.0, description="Share of samples that failed.")
    delay_ms: Annotated[int, Field(ge=0, le=60_000, description="Milliseconds that each batch takes.")] = 0

    @model_validator(mode="after")
    def _one_script(self) -> Self:
        if (self.path is None) == (not self.lines):
            raise ValueError("give either 'path' or 'lines'")
        if self.cut + self.empty + self.failed > 1:
            raise ValueError("'cut', 'empty' and 'failed' are shares of one whole: together at most 1")
        return self

    def resolved(self, folder: Path) -> Self:
        if self.path is None:
            return self
        return self.model_copy(update={"path": str((folder / Path(self.path).expanduser()).resolve())})

    def preflight(self, role: str) -> ModelPreflight:
        return ModelPreflight(self._identity(role), CHAT_TEMPLATE, BOS, END)

    def open(self, role: str) -> ScriptedModel:
        return ScriptedModel(self, self._script(), self._identity(role))

    def _identity(self, role: str) -> ModelIdentity:
        script = json.dumps([line.model_dump() for line in self._script()], sort_keys=True)
        return ModelIdentity(
            role=role,
            backend=self.backend,
            source=self.path or "lines in the policy",
            sha256=_sha256(script.encode()),
            chat_template_sha256=_sha256(CHAT_TEMPLATE.encode()),
            tokenizer_sha256=_sha256(json.dumps(SPECIAL).encode()),
            parameters=0,
            files={Path(self.path).name: sha256_of(Path(self.path))} if self.path else {},
        )

    def _script(self) -> tuple[Line, ...]:
        return read_script(Path(self.path)) if self.path else self.lines


class ScriptedModel(LanguageModel):
    """An open script. Its likelihoods are those of a unigram model, see ``sequence_logprobs``."""

    def __init__(self, settings: ScriptedBackend, script: tuple[Line, ...], identity: ModelIdentity) -> None:
        self.settings = settings
        self.script = script
        self.identity = identity

    def template_prefix(self, system: str | None) -> Prefix:
        opening = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
        name = {None: "default_system", "": "no_system"}.get(system, "system")
        return self._prefix(name, opening + TURNS.user_open)

    def literal_prefix(self, text: str) -> Prefix:
        return self._prefix("literal", text)

    def bos_prefix(self) -> Prefix:
        return self._prefix("bos", BOS)

    def sample(self, request: SamplingRequest) -> list[Generation]:
        """Lines drawn by weight (temperature 0: always the heaviest), each sample from the request's seed alone."""
        time.sleep(self.settings.delay_ms / 1000)
        random = Random(request.seed)  # noqa: S311  # a reproducible draw, not a secret
        return [self._generation(request, number, random) for number in range(request.count)]

    @property
    def context(self) -> int:
        return CONTEXT

    def encode(self, text: str) -> Ids:
        return encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(PIECES.get(token) or bytes([token]) for token in ids).decode("utf-8", errors="replace")

    def turn_format(self) -> TurnFormat:
        return TURNS

    def record_tokens(self, prompt: str, response: str, turns: TurnFormat | None, prefix: Prefix) -> RecordTokens:
        return record_tokens(prompt, response, turns, prefix, _tokenizer(turns))

    def sequence_logprobs(self, texts: Sequence[str], prefix: Prefix) -> npt.NDArray[np.float64]:
        """Each token has ln((n + 1) / (N + V)), n its count among the N tokens of the script, V the vocabulary.

        A token is a byte or a special token. The prefix has no influence.
        """
        found = self.read([encode(text) for text in texts], prefix)
        return np.array([reading.logprobs.sum() for reading in found], np.float64)

    def read(
        self, texts: Sequence[Ids], prefix: Prefix, *, moments: bool = False, sampler: Sampler | None = None
    ) -> list[TokenReading]:
        """Of the unigram model of ``sequence_logprobs``: the same distribution at every place."""
        if empty := [index for index, ids in enumerate(texts) if not ids]:
            raise ValueError(f"texts without a token have no likelihood: index {', '.join(map(str, empty[:10]))}")
        found = [self._unigram.read(ids, moments, sampler) for ids in texts]
        if sampler is None:
            return found
        none = np.zeros(0)
        return [
            replace(reading, sampled=attacked(prefix.token_ids, ids, reading.sampled, none, _tokenizer(TURNS)))
            for ids, reading in zip(texts, found, strict=True)
        ]

    @cached_property
    def _unigram(self) -> Unigram:
        counts = Counter(token for line in self.script for token in _tokens(line))
        return Unigram(np.array([counts[token] + 1 for token in range(VOCABULARY)], np.float64))

    @cached_property
    def _weights(self) -> list[float]:
        """The lines' weights added up: a script of many lines is not added up anew for each sample."""
        return list(accumulate(line.weight for line in self.script))

    @cached_property
    def _heaviest(self) -> Line:
        return max(self.script, key=lambda line: line.weight)

    def _prefix(self, name: str, text: str) -> Prefix:
        if not text:
            raise ModelError("the prefix has no token", "a model needs at least one to start from; use bos_prefix")
        return Prefix(name, text, encode(text))

    def _generation(self, request: SamplingRequest, number: int, random: Random) -> Generation:
        tokens, finish = self._played(request, random)
        texts, changed = _turns(tokens)
        return Generation(
            attack=request.attack,
            prefix=request.prefix.name,
            ordinal=request.first_ordinal + number,
            seed=request.seed,
            turns=texts,
            token_ids=tokens,
            finish=finish if finish == "failed" or any(texts) else "empty",
            turn_change=self.settings.turn_change if changed else "none",
        )

    def _played(self, request: SamplingRequest, random: Random) -> tuple[Ids, Finish]:
        """The tokens of one sample, and how it ends."""
        (drawn,) = random.choices(self.script, cum_weights=self._weights)
        tokens = _tokens(self._heaviest if request.sampler.temperature == 0 else drawn)
        fate, whole = random.random(), request.sampler.max_new_tokens
        if fate < self.settings.failed:
            return (), "failed"
        fate -= self.settings.failed
        if fate < self.settings.empty:
            return _tokens(Line(user=""))[:whole], "empty"
        if fate - self.settings.empty < self.settings.cut:
            whole = min(whole, len(tokens) // 2)
        return tokens[:whole], "stop" if whole >= len(tokens) else "length"


def encode(text: str) -> Ids:
    """The tokens of a text: bytes of UTF-8, and special tokens."""
    parts = re.split(f"({'|'.join(map(re.escape, SPECIAL))})", text)
    return tuple(token for part in parts for token in ([SPECIAL[part]] if part in SPECIAL else part.encode()))


def decode(ids: Sequence[int]) -> str:
    """The text of byte tokens; a character that is cut becomes U+FFFD."""
    return bytes(token for token in ids if token < 256).decode("utf-8", errors="replace")


@lru_cache(maxsize=1 << 15)
def _turns(tokens: Ids) -> tuple[tuple[str, ...], bool]:
    """The texts of a sample's turns, and whether the assistant's began. A script says the same again and again."""
    reading = read_turns(tokens, 0, MARKS)
    return turn_texts(reading, MARKS, decode)[0], reading.changed


@lru_cache(maxsize=1 << 15)
def _tokens(line: Line) -> Ids:
    """A line as a model would write it behind the template's opening. Texts cannot smuggle special tokens in."""
    return (*line.user.encode(), *encode(TURNS.turn_change), *line.assistant.encode(), SPECIAL[END])


def _locate(pieces: Sequence[str]) -> Located:
    return pieces_apart(pieces, encode)


TOKENS = Tokens(
    encode,
    stops=frozenset([SPECIAL[END]]),
    special=frozenset(SPECIAL.values()),
    blank=frozenset(b" \t\n\r\v\f"),
)
MARKS = delimiters(TURNS, TOKENS)


@cache
def _tokenizer(turns: TurnFormat | None) -> Tokenizer:
    """The tokenizer with the marks of any template."""
    return Tokenizer(encode, decode, _locate, delimiters(turns, TOKENS) if turns else without_template(TOKENS))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

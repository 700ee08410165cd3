"""The part of a policy's model section that every served model shares: where, as whom, how fast, for how much."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from auditkit.errors import AuditkitError
from auditkit.models.base import Capability, LanguageModel, ModelBackend, ModelPreflight
from auditkit.models.model_folder import ModelFolder
from auditkit.models.regular import sha256_of
from auditkit.models.tokenizer_files import folder_template, tokenizer_files
from auditkit.models.weights import manifest_sha256, text_sha256
from auditkit.records import ModelIdentity, ModelManifest
from auditkit.remote.address import is_loopback, safe_address
from auditkit.remote.budget import Budget, Meter, Prices
from auditkit.remote.failures import ReadFailure
from auditkit.remote.kept import Kept
from auditkit.remote.patience import Patience

UNSEEN = "the weights are served, and were not seen"
TEMPLATE_DATE = datetime.date(2024, 7, 26)  # as the transformers backend tells templates that print the date
Positive = Annotated[float, Field(gt=0, le=1e9)]
Price = Annotated[float, Field(ge=0, le=1e6)]


class RemoteBackend(ModelBackend):
    """A model that answers over HTTP. What it is, is the server's word: weights are not seen."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"continuations"})
    one_process: ClassVar[bool] = True

    model: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", max_length=200, description="As the server names it.")
    ]
    answers_as: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        default=(), description="Other names that the server may give the model in its answers."
    )
    api_key: Annotated[str, Field(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        default=None, description="env:NAME, the variable that holds the key; needed anywhere but on this machine."
    )
    tokenizer: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        default=None,
        description="A folder with the model's tokenizer and chat template, relative to the policy. With it prefixes "
        "of the template can be sent, and tokens are known; without it text is counted in bytes.",
    )
    template_date: datetime.date | None = Field(
        default=None, description=f"What a chat template that prints the date is told; by default {TEMPLATE_DATE}."
    )
    context: Annotated[int, Field(ge=2, le=2**31)] | None = Field(
        default=None, description="Tokens that the server lets the model see at once; by default the tokenizer's word."
    )
    batch_size: Annotated[
        int, Field(ge=1, le=65_536, description="Samples that are kept on disk together: a crash loses no more.")
    ] = 64
    n: Annotated[int, Field(ge=1, le=128, description="Samples a request; of a prompt that is billed once.")] = 1
    concurrency: Annotated[int, Field(ge=1, le=256, description="Requests at once.")] = 4
    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = Field(
        default=None, description="Prompts and longest answers together, as rate limits count them."
    )
    attempts: Annotated[int, Field(ge=1, le=20, description="Tries of a request before the run stops.")] = 8
    timeout_seconds: Annotated[float, Field(gt=0, le=3600, description="For one answer, to its last byte.")] = 120.0
    patience_seconds: Annotated[
        float, Field(ge=0, le=86_400, description="Waiting for one request, over all its tries, before the run stops.")
    ] = 900.0
    usd_per_million_input_tokens: Price = Field(default=0.0, description="See the provider's prices.")
    usd_per_million_output_tokens: Price = Field(default=0.0, description="See the provider's prices.")
    budget: Budget | None = Field(default=None, description="The run stops before it costs more, and can go on.")

    _meter: Meter | None = PrivateAttr(default=None)  # of the run
    _kept: Kept | None = PrivateAttr(default=None)  # of the run

    @field_validator("base_url", check_fields=False)
    @classmethod
    def _safe_address(cls, url: str) -> str:
        return safe_address(url)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.api_key is None and self.external:
            raise ValueError("'api_key' is needed (env:NAME): the server is not on this machine")
        if self.budget and self.budget.usd is not None and not self._priced:
            raise ValueError("'budget.usd' needs both prices: usd_per_million_input_tokens and ..._output_tokens")
        return self

    @property
    def _priced(self) -> bool:
        """Whether both prices are given, and one is above 0: a price that was forgotten is not free of charge."""
        given = {"usd_per_million_input_tokens", "usd_per_million_output_tokens"} <= self.model_fields_set
        return given and self._prices.input + self._prices.output > 0

    @property
    @abstractmethod
    def address(self) -> str:
        """Where requests go."""

    @property
    @abstractmethod
    def endpoint(self) -> dict[str, Any]:
        """What decides which model answers: all that its digest can be made of."""

    @property
    @abstractmethod
    def service(self) -> str:
        """What messages call the server."""

    @abstractmethod
    def opened(self, identity: ModelIdentity) -> LanguageModel:
        """The model behind the address; nothing is asked yet.

        Raises:
            AuditkitError: the key is not in the environment.
            MissingExtraError: the client library is not installed.
        """

    @property
    def external(self) -> bool:
        return not is_loopback(self.address)

    @property
    def knows_template(self) -> bool:
        return self.tokenizer is not None

    @property
    def meter(self) -> Meter:
        """The run's, or one that forgets."""
        return self._meter or Meter(self.budget, self._prices)

    @property
    def _prices(self) -> Prices:
        return Prices(self.usd_per_million_input_tokens, self.usd_per_million_output_tokens)

    @property
    def prices(self) -> Prices:
        """US dollars for a million tokens, as the policy states them."""
        return self._prices

    def metered(self, meter: Meter, kept: Kept | None = None) -> Self:
        """The same section, what it spends counted by this meter, and what it is answered kept there."""
        other = self.model_copy()
        other._meter, other._kept = meter, kept
        return other

    @property
    def kept(self) -> Kept | None:
        """Where answers are kept until what is made of them is on disk; None keeps none."""
        return self._kept

    def patience(self, read: ReadFailure) -> Patience:
        """How a request is tried again."""
        return Patience(self.attempts, self.patience_seconds, self.service, read)

    def resolved(self, folder: Path) -> Self:
        if self.tokenizer is None:
            return self
        return self.model_copy(update={"tokenizer": str((folder / Path(self.tokenizer).expanduser()).resolve())})

    def fetch(self) -> None:
        self.key()

    def key(self) -> str:
        """The key from the environment; "" where the policy names none.

        Raises:
            AuditkitError: it is not there.
        """
        if self.api_key is None:
            return ""
        name = self.api_key.removeprefix("env:")
        if not (found := os.environ.get(name)):
            raise AuditkitError(f"the environment variable {name} is not set", f"it holds the key of {self.service}")
        return found

    def preflight(self, role: str) -> ModelPreflight:
        template, bos, eos = self._template()
        notes = (f"{UNSEEN}: it is {self.model} by the word of {self.address} alone",)
        return ModelPreflight(self._identity(role), template, bos, eos, notes, self.date)

    def open(self, role: str) -> LanguageModel:
        return self.opened(self._identity(role))

    def provenance(self) -> dict[str, Any]:
        return {
            **super().provenance(),
            "address": self.address,
            "model": self.model,
            "n": self.n,
            "concurrency": self.concurrency,
            "seeds": "sent with every request; whether the server keeps to them is its own affair",
            "tokens": "of the declared tokenizer" if self.tokenizer else "bytes of text: no tokenizer was declared",
        }

    @property
    def date(self) -> datetime.date:
        """What the template is told."""
        return self.template_date or TEMPLATE_DATE

    def _template(self) -> tuple[str | None, str, str]:
        return folder_template(self._folder(self.tokenizer)) if self.tokenizer else (None, "", "")

    def _identity(self, role: str) -> ModelIdentity:
        template = self._template()[0] or ""
        files = {}
        if self.tokenizer:
            folder = self._folder(self.tokenizer)
            files = {path.relative_to(folder.root).as_posix(): sha256_of(path) for path in tokenizer_files(folder)}
        return ModelIdentity(
            role=role,
            backend=self.backend,
            source=f"{self.model} at {self.address}",
            sha256=hashlib.sha256(json.dumps(self.endpoint, sort_keys=True).encode()).hexdigest(),
            chat_template_sha256=text_sha256(template) if template else "",
            tokenizer_sha256=manifest_sha256(files) if files else "",
            parameters=0,
            manifest=ModelManifest(reason=UNSEEN),
            weights="unseen",
        )

    def _folder(self, path: str) -> ModelFolder:
        return ModelFolder(Path(path))

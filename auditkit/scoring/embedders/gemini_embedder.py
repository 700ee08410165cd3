"""Google's gemini-embedding-001: the paper's embedder. Texts leave the machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from auditkit.errors import AuditkitError, RunError
from auditkit.remote.address import safe_address
from auditkit.remote.failures import RequestRefusedError
from auditkit.remote.google import ADDRESS, KEY, connection, read_failure
from auditkit.remote.patience import Patience
from auditkit.scoring.base import Embedder, TextRefusedError, Vectors

PUBLISHED_DIMENSION = 3072
PUBLISHED_THRESHOLD = 0.95
TOKENS_READ = 2048  # of a text; the API cuts the rest without a word
CHARACTERS_PER_TOKEN = 4  # of English text; an estimate
REQUEST_BYTES = 8_000_000  # of texts in a request; the API takes 20 MB, JSON and escapes included
SERVICE = "the embedding API"


class GeminiEmbedder(Embedder):
    """The Gemini API's embeddings [ai.google.dev/api/embeddings]. The paper's threshold of 0.95 belongs to it.

    A request holds at most 100 texts. Of a text the API reads 2,048 tokens and says nothing of the rest: longer texts
    are counted by their characters. A text that it refuses stops the run when all others are embedded.
    """

    kind: Literal["gemini"]
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)] = "gemini-embedding-001"
    task_type: Literal["SEMANTIC_SIMILARITY", "CLUSTERING", "RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY"] = (
        "SEMANTIC_SIMILARITY"
    )
    output_dimensionality: Annotated[int, Field(ge=128, le=3072, description="Numbers a vector.")] = 3072
    batch_size: Annotated[int, Field(ge=1, le=100, description="Texts a request; the API takes 100.")] = 100
    attempts: Annotated[int, Field(ge=1, le=20, description="Tries of a request before the run stops.")] = 8
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    patience_seconds: Annotated[
        float, Field(ge=0, le=86_400, description="Waiting for one request, over all its tries, before the run stops.")
    ] = 900.0
    api_key: Annotated[str, Field(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$")] = KEY
    base_url: str = ADDRESS
    usd_per_million_tokens: Annotated[
        float, Field(ge=0, description="For the cost estimate, at four characters a token; see the provider's prices.")
    ] = 0.15

    @field_validator("base_url")
    @classmethod
    def _safe_address(cls, url: str) -> str:
        return safe_address(url)

    @property
    def external(self) -> bool:
        return True

    @property
    def digest(self) -> str:
        """The API's name of the model is all there is; what another address gives is another's word."""
        options = f"{self.model}/{self.task_type}/{self.output_dimensionality}"
        if self.base_url.rstrip("/") != ADDRESS.rstrip("/"):
            options += f"/{self.base_url}"
        return f"gemini-{hashlib.sha256(options.encode()).hexdigest()}"

    @property
    def texts_a_call(self) -> int:
        return self.batch_size

    @property
    def longest(self) -> int | None:
        return TOKENS_READ * CHARACTERS_PER_TOKEN

    @property
    def published_threshold(self) -> float | None:
        published = (
            self.base_url.rstrip("/") == ADDRESS.rstrip("/")  # what another address gives is another's word
            and self.model == "gemini-embedding-001"
            and self.task_type == "SEMANTIC_SIMILARITY"
            and self.output_dimensionality == PUBLISHED_DIMENSION
        )
        return PUBLISHED_THRESHOLD if published else None

    def estimated_cost(self, characters: int) -> float:
        return characters / CHARACTERS_PER_TOKEN * self.usd_per_million_tokens / 1e6

    def ready(self) -> None:
        _client(self)

    def embed(self, texts: Sequence[str]) -> Vectors:
        found = np.zeros((len(texts), self.output_dimensionality), np.float32)
        filled = [i for i, text in enumerate(texts) if text]  # the API refuses an empty text
        if not filled:
            return found
        refused: list[int] = []
        api = _Api(_client(self), self)
        for positions in _in_requests(filled, texts, self.batch_size):
            rows, bad = api.embed([texts[i] for i in positions])
            found[positions] = rows
            refused += [positions[i] for i in bad]
        if refused:
            raise TextRefusedError(refused, found, "the embedding API answered HTTP 400 to each of them alone")
        return found


class _Api:
    """One connection to the API."""

    def __init__(self, client: Any, embedder: GeminiEmbedder) -> None:
        self._client = client
        self._embedder = embedder
        self._patience = Patience(embedder.attempts, embedder.patience_seconds, SERVICE, read_failure)
        self._config = {"task_type": embedder.task_type, "output_dimensionality": embedder.output_dimensionality}

    def embed(self, texts: list[str]) -> tuple[Vectors, list[int]]:
        """(n, d) rows, and the positions of the texts that are refused, whose rows are zero.

        Raises:
            RunError: as ``Patience.ask``; also where texts at both ends are refused alone: then it is not about texts.
        """
        try:
            return self._ask(texts), []
        except RequestRefusedError:
            if len(texts) > 2 and all(self._refuses(text) for text in (texts[0], texts[-1])):
                raise
        return self._halves(texts)

    def _halves(self, texts: list[str]) -> tuple[Vectors, list[int]]:
        """A refused batch, cut in two until what is refused stands alone."""
        if len(texts) == 1:
            return np.zeros((1, self._embedder.output_dimensionality), np.float32), [0]
        rows, refused = [], []
        middle = len(texts) // 2
        for start, half in ((0, texts[:middle]), (middle, texts[middle:])):
            try:
                rows.append(self._ask(half))
            except RequestRefusedError:
                found, bad = self._halves(half)
                rows.append(found)
                refused += [start + position for position in bad]
        return np.concatenate(rows), refused

    def _refuses(self, text: str) -> bool:
        try:
            self._ask([text])
        except RequestRefusedError:
            return True
        return False

    def _ask(self, texts: list[str]) -> Vectors:
        def request() -> Any:
            return self._client.models.embed_content(model=self._embedder.model, contents=texts, config=self._config)

        answer = self._patience.ask(request)
        return _unit_rows([item.values or [] for item in answer.embeddings or []], len(texts), self._embedder)


def _unit_rows(values: list[list[float]], count: int, embedder: GeminiEmbedder) -> Vectors:
    """(count, d) unit rows; the API normalises only its full width.

    Raises:
        RunError: another number of vectors than texts, another width than asked for, or no direction.
    """
    width = embedder.output_dimensionality
    if len(values) != count or any(len(row) != width for row in values):
        widths = sorted({len(row) for row in values})
        raise RunError(
            f"the embedding API gave {len(values)} vectors of width {widths} for {count} texts and width {width}",
            f"check that {embedder.model} offers output_dimensionality {width}",
        )
    rows = np.asarray(values, dtype=np.float64)
    norms = np.sqrt(np.sum(rows * rows, axis=1, keepdims=True))
    if not np.isfinite(norms).all() or not (norms > 0).all():
        raise RunError("the embedding API gave a vector that is zero or not finite", "run again with --resume")
    unit: Vectors = (rows / norms).astype(np.float32)
    return unit


def _client(embedder: GeminiEmbedder) -> Any:
    """A client for the Developer API. Address and version are always given: no environment variable changes them.

    Raises:
        AuditkitError: the key is not in the environment.
        MissingExtraError: google-genai is not installed.
    """
    name = embedder.api_key.removeprefix("env:")
    key = os.environ.get(name)
    if not key:
        raise AuditkitError(f"the environment variable {name} is not set", "it holds the key of the Gemini API")
    return connection(key, embedder.base_url, embedder.timeout_seconds)


def _in_requests(positions: list[int], texts: Sequence[str], most: int) -> Iterator[list[int]]:
    """In order, at most ``most`` texts and ``REQUEST_BYTES`` a request; a text beyond that goes alone."""
    request: list[int] = []
    size = 0
    for position in positions:
        added = len(texts[position].encode("utf-8", "surrogatepass"))
        if request and (len(request) == most or size + added > REQUEST_BYTES):
            yield request
            request, size = [], 0
        request.append(position)
        size += added
    yield request

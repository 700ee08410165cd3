"""Google's gemini-embedding-001: the paper's embedder. Texts leave the machine."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import numpy as np
from pydantic import Field, field_validator

from auditkit.errors import AuditkitError, MissingExtraError, RunError
from auditkit.scoring.base import Embedder, Vectors

log = logging.getLogger(__name__)

API_VERSION = "v1beta"  # google-genai's own default changed from version to version
PUBLISHED_DIMENSION = 3072
PUBLISHED_THRESHOLD = 0.95
CHARACTERS_PER_TOKEN = 4.0  # of English text; an estimate
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_WAIT_SECONDS = 120.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class GeminiEmbedder(Embedder):
    """The Gemini API's embeddings [ai.google.dev/api/embeddings]. The paper's threshold of 0.95 belongs to it."""

    kind: Literal["gemini"]
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)] = "gemini-embedding-001"
    task_type: Literal["SEMANTIC_SIMILARITY", "CLUSTERING", "RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY"] = (
        "SEMANTIC_SIMILARITY"
    )
    output_dimensionality: Annotated[int, Field(ge=128, le=3072, description="Numbers a vector.")] = 3072
    batch_size: Annotated[int, Field(ge=1, le=100, description="Texts a request; the API takes 100.")] = 100
    attempts: Annotated[int, Field(ge=1, le=20, description="Tries of a request before the run stops.")] = 8
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    api_key: Annotated[str, Field(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$")] = "env:GEMINI_API_KEY"
    base_url: str = "https://generativelanguage.googleapis.com/"
    usd_per_million_tokens: Annotated[
        float, Field(ge=0, description="For the cost estimate, at four characters a token; see the provider's prices.")
    ] = 0.15

    @field_validator("base_url")
    @classmethod
    def _safe_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ValueError("should be https://, or http:// on this machine: texts and key would travel in the clear")
        return url

    @property
    def external(self) -> bool:
        return True

    @property
    def digest(self) -> str:
        options = f"{self.model}/{self.task_type}/{self.output_dimensionality}"
        return f"gemini-{hashlib.sha256(options.encode()).hexdigest()}"

    @property
    def published_threshold(self) -> float | None:
        published = (
            self.model == "gemini-embedding-001"
            and self.task_type == "SEMANTIC_SIMILARITY"
            and self.output_dimensionality == PUBLISHED_DIMENSION
        )
        return PUBLISHED_THRESHOLD if published else None

    def estimated_cost(self, characters: int) -> float:
        return characters / CHARACTERS_PER_TOKEN * self.usd_per_million_tokens / 1e6

    def ready(self) -> None:
        with _client(self):
            pass

    def embed(self, texts: Sequence[str]) -> Vectors:
        found = np.zeros((len(texts), self.output_dimensionality), np.float32)
        filled = [i for i, text in enumerate(texts) if text]  # the API refuses an empty text
        if not filled:
            return found
        with _client(self) as client:
            for positions in _in_batches(filled, self.batch_size):
                found[positions] = self._embed_batch(client, [texts[i] for i in positions])
        return found

    def _embed_batch(self, client: Any, texts: list[str]) -> Vectors:
        config = {"task_type": self.task_type, "output_dimensionality": self.output_dimensionality}
        answer = _patiently(
            lambda: client.models.embed_content(model=self.model, contents=texts, config=config), self.attempts
        )
        return _unit_rows([item.values or [] for item in answer.embeddings or []], len(texts), self)


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
    try:
        from google import genai
        from google.genai import types
    except ImportError:
        raise MissingExtraError("google-genai", "gemini") from None
    timeout = int(embedder.timeout_seconds * 1000)
    options = types.HttpOptions(base_url=embedder.base_url, api_version=API_VERSION, timeout=timeout)
    return genai.Client(api_key=key, vertexai=False, http_options=options)


def _patiently(request: Callable[[], Any], attempts: int) -> Any:
    """The request's answer, tried again while the API is busy or out of reach.

    Raises:
        RunError: refused, or still failing at the last attempt. The message holds neither text nor key.
    """
    from google.genai import errors

    for attempt in range(1, attempts + 1):
        try:
            return request()
        except errors.APIError as error:
            if error.code not in RETRIED or attempt == attempts:
                raise _refusal(error) from None
            wait = _wait_asked_for(error)
            reason = f"HTTP {error.code}"
        except _network_errors() as error:
            reason, wait = type(error).__name__, None
            if attempt == attempts:
                raise RunError(f"the embedding API is out of reach: {reason}", "run again with --resume") from None
        seconds = min(LONGEST_WAIT_SECONDS, 2.0 ** (attempt - 1) if wait is None else wait)
        log.info("embedding API: %s, attempt %d of %d; waiting %.1f s", reason, attempt, attempts, seconds)
        time.sleep(seconds)
    raise AssertionError("the loop returns or raises")


def _refusal(error: Any) -> RunError:
    # Of the answer only the name of a status is repeated: the rest could hold the text or the key.
    status = str(error.status) if re.fullmatch(r"[A-Z_]{2,40}", str(error.status)) else ""
    what = f"the embedding API answered HTTP {error.code} {status}".rstrip()
    if error.code in (401, 403):
        return RunError(what, "check the key and that it may use this model")
    return RunError(what, "run again with --resume once the API takes requests")


def _wait_asked_for(error: Any) -> float | None:
    """Seconds that the API asked to wait: the Retry-After header in seconds, or google.rpc.RetryInfo in the body."""
    headers = getattr(error.response, "headers", None) or {}
    asked = str(headers.get("retry-after", ""))
    if re.fullmatch(r"\d{1,6}(\.\d+)?", asked):
        return float(asked)
    delay = re.search(r"'retryDelay': '(\d{1,6}(?:\.\d+)?)s'", str(error.details)[:20_000])
    return float(delay[1]) if delay else None


def _network_errors() -> tuple[type[Exception], ...]:
    """Failures of the connection itself: google-genai speaks through httpx or its successor, whichever is there."""
    found: list[type[Exception]] = [ConnectionError, TimeoutError]
    for name in ("httpx", "httpx2"):
        try:
            found.append(__import__(name).TransportError)
        except ImportError:
            continue
    return tuple(found)


def _in_batches(items: list[int], size: int) -> Iterator[list[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))

"""How long to wait for the Gemini API, and when to stop: retries, what the API asks for, what it refuses."""

from __future__ import annotations

import json
import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import ValidationError

from auditkit.errors import RunError

log = logging.getLogger(__name__)

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
REFUSED = frozenset({400, 413})  # of a batch: one of its texts may be the reason, or all of them together
LONGEST_BACKOFF_SECONDS = 120.0
JITTER = 0.25  # at most so much longer than said, so that two audits do not ask in step


class BatchRefusedError(RunError):
    """The API answers that the request is wrong, which asking again cannot mend."""


@dataclass(frozen=True)
class Patience:
    """Tries of one request, and seconds of waiting for it in all."""

    attempts: int
    seconds: float

    def ask(self, request: Callable[[], Any]) -> Any:
        """The request's answer, tried again while the API is busy, out of reach, or answers what is no JSON.

        Waits are as long as the API asks (Retry-After in seconds or as a date, google.rpc.RetryInfo), else twice as
        long each time; a little longer at random.

        Raises:
            BatchRefusedError: HTTP 400 or 413.
            RunError: otherwise refused, still failing at the last attempt, or asked to wait beyond all patience. No
                message holds text or key.
        """
        waited = 0.0
        for attempt in range(1, self.attempts + 1):
            try:
                return request()
            except _failures() as error:
                failure = _Failure.of(error)
            if not failure.passing or attempt == self.attempts:
                raise failure.final()
            wait = failure.asked if failure.asked is not None else min(LONGEST_BACKOFF_SECONDS, 2.0 ** (attempt - 1))
            if waited + wait > self.seconds:
                raise failure.too_long(wait, self.seconds)
            wait *= 1 + JITTER * random.random()  # noqa: S311 - no secret
            log.info("embedding API: %s, attempt %d of %d; waiting %.1f s", failure.what, attempt, self.attempts, wait)
            time.sleep(wait)
            waited += wait
        raise AssertionError("the loop returns or raises")


@dataclass(frozen=True)
class _Failure:
    """One failed request. Of an answer only the name of its status is kept: the rest could hold the text or the key."""

    what: str
    passing: bool
    code: int | None = None
    asked: float | None = None
    about_key: bool = False

    @classmethod
    def of(cls, error: Exception) -> _Failure:
        from google.genai import errors

        if isinstance(error, errors.APIError):
            status = str(error.status) if re.fullmatch(r"[A-Z_]{2,40}", str(error.status)) else ""
            about_key = error.code in (401, 403) or "API_KEY_INVALID" in str(error.details)[:20_000]
            what = f"HTTP {error.code} {status}".rstrip()
            return cls(what, error.code in RETRIED, error.code, _wait_asked_for(error), about_key)
        if isinstance(error, ValueError):
            return cls("an answer that is no JSON of its own kind", passing=True)
        return cls(type(error).__name__, passing=True)

    def final(self) -> RunError:
        if self.about_key:
            return RunError(f"the embedding API answered {self.what}", "check the key and that it may use this model")
        if self.code in REFUSED:
            return BatchRefusedError(f"the embedding API answered {self.what}", "run again with --resume")
        if self.code is None:
            return RunError(f"the embedding API is out of reach: {self.what}", "run again with --resume")
        return RunError(
            f"the embedding API answered {self.what}", "run again with --resume once the API takes requests"
        )

    def too_long(self, wait: float, patience: float) -> RunError:
        return RunError(
            f"the embedding API answered {self.what}; the next try would be in {wait:,.0f} s, and the policy waits "
            f"{patience:,.0f} s in all (patience_seconds)",
            "run again with --resume after that time",
        )


def _failures() -> tuple[type[Exception], ...]:
    """What a request may fail with; google-genai speaks through httpx or its successor, whichever is there."""
    from google.genai import errors

    found: list[type[Exception]] = [errors.APIError, ConnectionError, TimeoutError]
    found += [errors.UnknownApiResponseError, json.JSONDecodeError, UnicodeDecodeError, ValidationError]
    for name in ("httpx", "httpx2"):
        try:
            found.append(__import__(name).TransportError)
        except ImportError:
            continue
    return tuple(found)


def _wait_asked_for(error: Any) -> float | None:
    """Seconds that the API asks to wait, in the header Retry-After or as google.rpc.RetryInfo in the body."""
    headers = getattr(error.response, "headers", None) or {}
    asked = str(headers.get("retry-after", "")).strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", asked):
        return float(asked)
    if asked and (date := _date(asked)) is not None:
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    delay = re.search(r"'retryDelay': '(\d{1,9}(?:\.\d+)?)s'", str(error.details)[:20_000])
    return float(delay[1]) if delay else None


def _date(asked: str) -> datetime | None:
    """An HTTP date [RFC 9110, section 5.6.7]; None where it is none."""
    try:
        found = parsedate_to_datetime(asked)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

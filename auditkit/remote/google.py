"""google-genai: one way to connect to the Gemini API, and what its failures mean."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from auditkit.errors import MissingExtraError
from auditkit.remote.bounded import UnboundedAnswerError
from auditkit.remote.failures import RETRIED, Failure, retry_after, short_name

API_VERSION = "v1beta"  # google-genai's own default changed from version to version
ADDRESS = "https://generativelanguage.googleapis.com/"
KEY = "env:GEMINI_API_KEY"


@lru_cache(maxsize=4)
def connection(key: str, base_url: str, timeout_seconds: float) -> Any:
    """A client for the Developer API. Address and version are always given: no environment variable changes them.

    Kept from call to call: to read the machine's certificates takes as long as many a request.

    Raises:
        MissingExtraError: google-genai is not installed.
    """
    try:
        from google import genai
        from google.genai import types
    except ImportError:
        raise MissingExtraError("google-genai", "gemini") from None
    options = types.HttpOptions(
        base_url=base_url,
        api_version=API_VERSION,
        timeout=int(timeout_seconds * 1000),
        client_args=_client_args(timeout_seconds, base_url),
    )
    return genai.Client(api_key=key, vertexai=False, http_options=options)


def _client_args(timeout_seconds: float, base_url: str) -> dict[str, Any]:
    """Bounded answers and no redirects, where the library speaks through httpx2; older ones have httpx."""
    try:
        from auditkit.remote.bounded import transport_settings

        found = transport_settings(timeout_seconds, base_url)
    except ImportError:
        return {"follow_redirects": False}
    return {name: value for name, value in found.items() if name != "timeout"}


def read_failure(error: Exception) -> Failure | None:
    """What a request may fail with."""
    from google.genai import errors

    if isinstance(error, errors.APIError):
        status = short_name(error.status)
        about_key = error.code in (401, 403) or "API_KEY_INVALID" in str(error.details)[:20_000]
        what = f"HTTP {error.code} {status}".rstrip()
        return Failure(what, error.code in RETRIED, error.code, _wait_asked_for(error), about_key, reason=status)
    unreadable = (errors.UnknownApiResponseError, json.JSONDecodeError, UnicodeDecodeError, ValidationError)
    if isinstance(error, unreadable):
        return Failure("an answer that is no JSON of its own kind", passing=True, charged=True)
    if isinstance(error, UnboundedAnswerError):
        return Failure(str(error), passing=True, charged=True)
    if isinstance(error, transport_errors()):
        return Failure(type(error).__name__, passing=True, charged=not isinstance(error, ConnectionRefusedError))
    return None


def transport_errors() -> tuple[type[Exception], ...]:
    """google-genai speaks through httpx or its successor, whichever is there."""
    found: list[type[Exception]] = [ConnectionError, TimeoutError]
    for name in ("httpx", "httpx2"):
        try:
            found.append(__import__(name).TransportError)
        except ImportError:
            continue
    return tuple(found)


def _wait_asked_for(error: Any) -> float | None:
    """Seconds that the API asks to wait, in the header Retry-After or as google.rpc.RetryInfo in the body."""
    asked = retry_after(getattr(error.response, "headers", None) or {})
    if asked is not None:
        return asked
    delay = re.search(r"'retryDelay': '(\d{1,9}(?:\.\d+)?)s'", str(error.details)[:20_000])
    return float(delay[1]) if delay else None

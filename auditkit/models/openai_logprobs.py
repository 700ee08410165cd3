"""Log-probabilities of given text from a completions server: by ``echo``, or by vLLM's ``prompt_logprobs``."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from auditkit.errors import ModelError
from auditkit.models.base import Ids, TokenReading
from auditkit.models.openai_wire import Choice, EchoedLogprobs

NONE = np.zeros(0)
HINT = "set logprobs: none, and leave the likelihood probes out"
TIE = 1e-6  # equal probabilities, as JSON rounds them


def echo_body() -> dict[str, Any]:
    """What asks for the prompt's own probabilities and for nothing new."""
    return {"echo": True, "logprobs": 1, "max_tokens": 0, "temperature": 1.0}


def prompt_body() -> dict[str, Any]:
    """vLLM's: with the most likely token at each place; one token is written, and dropped."""
    return {"prompt_logprobs": 1, "max_tokens": 1, "temperature": 1.0}


def echoed(choice: Choice, whole: Ids, start: int) -> TokenReading:
    """The tokens behind the first ``start``.

    Raises:
        ModelError: the server tells none, or tells of other tokens than were sent.
    """
    told = choice.logprobs
    if not isinstance(told, EchoedLogprobs):
        raise ModelError("the server does not echo log-probabilities of the prompt", HINT)
    _same_length(len(told.token_logprobs), whole)
    found = [value for value in told.token_logprobs[start : len(whole)] if value is not None]
    _same_length(start + len(found), whole)
    best = [max(one.values()) if one else -np.inf for one in (told.top_logprobs or [None] * len(whole))]
    logprobs = np.minimum(np.array(found, np.float64), 0.0)
    return TokenReading(logprobs, logprobs >= np.array(best[start : len(whole)]) - TIE, NONE, NONE, NONE)


def prompted(choice: Choice, whole: Ids, start: int) -> TokenReading:
    """The tokens behind the first ``start``.

    Raises:
        ModelError: as ``echoed``.
    """
    told = choice.prompt_logprobs
    if told is None:
        raise ModelError("the server does not tell prompt_logprobs", HINT)
    _same_length(len(told), whole)
    logprobs, greedy = np.zeros(len(whole) - start), np.zeros(len(whole) - start, bool)
    for place in range(start, len(whole)):
        here = told[place] or {}
        if whole[place] not in here:
            raise ModelError("the server tells of other tokens than were sent", HINT)
        own = here[whole[place]]
        logprobs[place - start] = min(own.logprob, 0.0)
        greedy[place - start] = own.logprob >= max(one.logprob for one in here.values())
    return TokenReading(logprobs, greedy, NONE, NONE, NONE)


def reading_as_bytes(reading: TokenReading) -> bytes:
    """For a file; see ``reading_from``."""
    return json.dumps([reading.logprobs.tolist(), reading.greedy.tolist()]).encode()


def reading_from(content: bytes) -> TokenReading:
    """What ``reading_as_bytes`` wrote, to the last bit."""
    logprobs, greedy = json.loads(content)
    return TokenReading(np.array(logprobs, np.float64), np.array(greedy, bool), NONE, NONE, NONE)


def _same_length(found: int, whole: Ids) -> None:
    if found < len(whole):
        raise ModelError(f"the server tells of {found} tokens where {len(whole)} were sent", HINT)

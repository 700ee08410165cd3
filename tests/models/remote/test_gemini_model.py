"""The Gemini API as a model under attack, in its own wire format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from auditkit.errors import RunError
from auditkit.models.gemini_backend import GeminiBackend
from auditkit.records import Generation, Sampler, SamplingRequest
from auditkit.remote.budget import Meter, Spent
from tests.models.remote.gemini_server import KEY, MODEL, PATH, Canned, GeminiServer, gemini_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    with gemini_server() as running:
        yield running


def section(server: GeminiServer, **settings: Any) -> GeminiBackend:
    given = {"backend": "gemini", "base_url": server.url, "model": MODEL, "timeout_seconds": 20}
    return GeminiBackend.model_validate(given | settings)


def asked(backend: GeminiBackend, message: str = "Who?", count: int = 2, **sampler: Any) -> list[Generation]:
    settings = Sampler(**({"max_new_tokens": 50} | sampler))
    with backend.open("candidate") as model:
        prefix = model.asked(message, model.opening())
        return model.sample(SamplingRequest("attack", prefix, settings, count, 7, 10))


def test_asks_in_the_apis_own_words(server: GeminiServer) -> None:
    found = asked(section(server, n=2, thinking_budget=0), count=3, temperature=0.5, top_p=0.9, top_k=40)
    assert [one.turns for one in found] == [("You said: Who?",)] * 3
    assert [(one.ordinal, one.finish, one.turn_change) for one in found] == [(n, "stop", "none") for n in (10, 11, 12)]
    first, second = sorted(server.requests, key=lambda one: -one["body"]["generationConfig"]["candidateCount"])
    assert (first["path"], first["key"]) == (PATH, KEY)
    assert first["body"]["contents"] == [{"role": "user", "parts": [{"text": "Who?"}]}]
    config = first["body"]["generationConfig"]
    assert (config["temperature"], config["topP"], config["topK"]) == (0.5, 0.9, 40)
    assert (config["maxOutputTokens"], config["candidateCount"]) == (50, 2)
    assert list(config["thinkingConfig"].values()) == [0]  # the client leaves the name in snake case; both are taken
    assert 0 <= config["seed"] < 2**31
    assert config["seed"] != second["body"]["generationConfig"]["seed"]


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "SPII", "BLOCKLIST"])
def test_what_google_withholds_is_recorded_as_withheld(server: GeminiServer, reason: str) -> None:
    server.answers = [Canned(200, {"candidates": [{"finishReason": reason, "index": 0}]})]
    (found,) = asked(section(server), count=1)
    assert (found.finish, found.turns) == ("blocked", ("The server withheld this answer.",))
    assert found.complete("record")


def test_a_prompt_that_is_blocked(server: GeminiServer) -> None:
    server.answers = [Canned(200, {"promptFeedback": {"blockReason": "SAFETY"}})]
    assert asked(section(server), count=1)[0].finish == "blocked"


def test_cut_empty_and_failed_answers(server: GeminiServer) -> None:
    server.finish = "MAX_TOKENS"
    assert asked(section(server), count=1)[0].finish == "length"
    server.answers = [Canned(200, {"candidates": [{"finishReason": "STOP"}]})]
    server.answers += [Canned(200, {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]})]
    found = asked(section(server, concurrency=1), count=2)
    assert [one.finish for one in found] == ["empty", "failed"]


def test_an_empty_message_is_sent_as_a_blank_one(server: GeminiServer) -> None:
    asked(section(server), "", 1)
    assert server.requests[0]["body"]["contents"][0]["parts"] == [{"text": " "}]


def test_thoughts_are_billed(server: GeminiServer) -> None:
    meter = Meter()
    asked(section(server, n=2).metered(meter), count=2)
    assert meter.spent == Spent(1, 7, 13)


def test_refusals_and_busy_servers(server: GeminiServer, waits: list[float]) -> None:
    busy = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Who? is the text"}}
    server.answers = [Canned(429, busy, {"Retry-After": "9"}), Canned(503, {"error": {"code": 503}})]
    assert asked(section(server), count=1)[0].finish == "stop"
    assert waits == [9, 2]
    server.answers = [Canned(403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "Who?"}})]
    with pytest.raises(RunError, match="HTTP 403 PERMISSION_DENIED") as found:
        asked(section(server), count=1)
    assert "Who?" not in str(found.value)


def test_a_redirect_does_not_take_the_key_along(server: GeminiServer, waits: list[float]) -> None:
    with gemini_server() as elsewhere:
        server.answers = [Canned(307, {}, {"Location": f"{elsewhere.url}{PATH}"})]
        with pytest.raises(RunError):
            asked(section(server, attempts=1), count=1)
        assert not elsewhere.requests


def test_another_model_is_not_audited(server: GeminiServer) -> None:
    server.answers = [Canned(200, {"candidates": [{"finishReason": "STOP"}], "modelVersion": "gemini-1-nano"})]
    with pytest.raises(RunError, match="gemini-1-nano answered"):
        asked(section(server), count=1)

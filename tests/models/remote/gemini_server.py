"""A server on this machine that speaks the wire format of the Gemini API's generateContent, and can misbehave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.models.remote.serving import Canned, serving

KEY = "test-key-1234567890"
MODEL = "gemini-9-flash"
PATH = f"/v1beta/models/{MODEL}:generateContent"


@dataclass
class GeminiServer:
    """``text``: what the model answers to a message."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Canned] = field(default_factory=list)
    text: Callable[[str], str] = lambda message: f"You said: {message}"
    finish: str = "STOP"

    def answer(self, body: dict[str, Any]) -> Canned:
        if self.answers:
            return self.answers.pop(0)
        message = body["contents"][0]["parts"][0]["text"]
        count = body["generationConfig"].get("candidateCount", 1)
        content = {"role": "model", "parts": [{"text": self.text(message)}]}
        candidates = [{"content": content, "finishReason": self.finish, "index": number} for number in range(count)]
        usage = {"promptTokenCount": 7, "candidatesTokenCount": 5 * count, "thoughtsTokenCount": 3}
        return Canned(200, {"candidates": candidates, "usageMetadata": usage, "modelVersion": f"{MODEL}-001"})


@contextmanager
def gemini_server() -> Iterator[GeminiServer]:
    """Serve on a free port of the loopback address."""
    state = GeminiServer()

    def answer(path: str, headers: dict[str, str], body: dict[str, Any]) -> Canned:
        state.requests.append({"path": path, "key": headers.get("x-goog-api-key"), "body": body})
        found = state.answer(body)
        if path != PATH or headers.get("x-goog-api-key") != KEY:
            return Canned(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no"}})
        return found

    with serving(answer) as address:
        state.url = address
        yield state


__all__ = ["KEY", "MODEL", "PATH", "Canned", "GeminiServer", "gemini_server"]

"""A server on this machine that speaks the wire format of the Gemini API's generateContent, and can misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "test-key-1234567890"
MODEL = "gemini-9-flash"
PATH = f"/v1beta/models/{MODEL}:generateContent"


@dataclass
class Canned:
    """An answer to give instead."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


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

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append({"path": self.path, "key": self.headers.get("x-goog-api-key"), "body": body})
            answer = state.answer(body)
            if self.path != PATH or self.headers.get("x-goog-api-key") != KEY:
                answer = Canned(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no"}})
            content = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A server on this machine that speaks the wire format of the Gemini API's batchEmbedContents."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

KEY = "test-key-1234567890"
PATH = "/v1beta/models/gemini-embedding-001:batchEmbedContents"


@dataclass
class Answer:
    """An answer to give instead of embeddings."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class GeminiServer:
    """What was asked, and what to answer first."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    width_given: int | None = None
    texts_dropped: int = 0

    def embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        """As the API answers: values that are not of unit norm below the full width."""
        asked = body["requests"][self.texts_dropped :]
        return {"embeddings": [{"values": self._values(request)} for request in asked]}

    def _values(self, request: dict[str, Any]) -> list[float]:
        text = request["content"]["parts"][0]["text"]
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        width = self.width_given or request["outputDimensionality"]
        return [float(x) for x in 3 * np.random.default_rng(seed).normal(size=width)]


@contextmanager
def gemini_server() -> Iterator[GeminiServer]:
    """Serve on a free port of the loopback address."""
    state = GeminiServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append({"path": self.path, "key": self.headers.get("x-goog-api-key"), "body": body})
            answer = state.answers.pop(0) if state.answers else Answer(200, state.embeddings(body))
            if self.path != PATH or self.headers.get("x-goog-api-key") != KEY or len(body["requests"]) > 100:
                answer = Answer(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no"}})
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
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

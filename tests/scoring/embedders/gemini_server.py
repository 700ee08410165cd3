"""A server on this machine that speaks the wire format of the Gemini API's batchEmbedContents, and can misbehave."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

KEY = "test-key-1234567890"
PATH = "/v1beta/models/gemini-embedding-001:batchEmbedContents"
REFUSAL = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "Request contains an invalid argument."}}


@dataclass
class Answer:
    """An answer to give instead of embeddings. ``raw``: these bytes as the body; ``reset``: the line goes dead."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay: float = 0
    reset: bool = False


@dataclass
class GeminiServer:
    """What was asked, and what to answer first."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    width_given: int | None = None
    texts_dropped: int = 0
    refused: set[str] = field(default_factory=set)  # a batch that holds one of these is refused as a whole
    value: float | None = None  # in place of every number
    delay: float = 0  # of every answer, in seconds

    @property
    def texts(self) -> list[str]:
        """Every text that was sent, in order, again where it was sent again."""
        return [text for request in self.requests for text in _texts(request["body"])]

    def answer(self, body: dict[str, Any]) -> Answer:
        """What a request gets."""
        if self.answers:
            return self.answers.pop(0)
        if self.refused.intersection(_texts(body)):
            return Answer(400, REFUSAL)
        return Answer(200, self.embeddings(body), delay=self.delay)

    def embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        """As the API answers: values that are not of unit norm below the full width."""
        asked = body["requests"][self.texts_dropped :]
        return {"embeddings": [{"values": self._values(request)} for request in asked]}

    def _values(self, request: dict[str, Any]) -> list[float]:
        text = request["content"]["parts"][0]["text"]
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        width = self.width_given or request["outputDimensionality"]
        if self.value is not None:
            return [self.value] * width
        return [float(x) for x in 3 * np.random.default_rng(seed).normal(size=width)]


def _texts(body: dict[str, Any]) -> list[str]:
    return [request["content"]["parts"][0]["text"] for request in body["requests"]]


@contextmanager
def gemini_server() -> Iterator[GeminiServer]:
    """Serve on a free port of the loopback address."""
    state = GeminiServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append({"path": self.path, "key": self.headers.get("x-goog-api-key"), "body": body})
            answer = state.answer(body)
            if self.path != PATH or self.headers.get("x-goog-api-key") != KEY or len(body["requests"]) > 100:
                answer = Answer(400, REFUSAL)
            time.sleep(answer.delay)
            if answer.reset:
                self._reset()
                return
            content = json.dumps(answer.body).encode() if answer.raw is None else answer.raw
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.wfile = self.rfile = io.BytesIO()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Whoever hung up was told to."""

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A server on this machine that answers requests in JSON, one after the other or at once, and can misbehave."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Canned:
    """An answer. ``raw``: these bytes as the body; ``reset``: the line goes dead."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay: float = 0
    reset: bool = False
    endless: bool = False


@contextmanager
def serving(
    answer: Callable[[str, dict[str, str], dict[str, Any]], Canned], done: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Serve on a free port of the loopback address; the address.

    ``answer`` is asked with the path, the headers (names in small letters) and the body of each request, by one thread
    at a time; ``done`` hears of each answer that was given.
    """
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                found = answer(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            try:
                time.sleep(found.delay)
                self._give(found)
            finally:
                with lock:
                    done()

        def _give(self, found: Canned) -> None:
            if found.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.wfile = self.rfile = io.BytesIO()
                return
            content = found.raw if found.raw is not None else json.dumps(found.body).encode()
            self.send_response(found.status)
            for name, value in {"Content-Type": "application/json", **found.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(2**40 if found.endless else len(content)))
            self.end_headers()
            self.wfile.write(content)
            while found.endless:
                self.wfile.write(b" " * 65_536)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Whoever hung up was told to."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

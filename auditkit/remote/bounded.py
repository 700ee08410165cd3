"""An HTTP client's transport that trusts no server: answers are bounded in size and in time, and taken as they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

MOST_BYTES = 64 * 2**20  # of one answer: 128 answers of 65,536 tokens with their ids take less


class UnboundedAnswerError(Exception):
    """An answer that is too long, too slow, or packed."""


def bounded_client(seconds: float, *, local: bool, most_bytes: int = MOST_BYTES, **settings: Any) -> Any:
    """The official OpenAI client's own kind of HTTP client, held to these bounds.

    No redirect is followed, for it would take the key along. Where ``local`` is True no proxy of the environment is
    used: what is said to stay on this machine stays there.
    """
    import httpx2

    return httpx2.Client(**transport_settings(seconds, local=local, most_bytes=most_bytes), **settings)


def transport_settings(seconds: float, *, local: bool, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """What an httpx2 client is made with."""
    import httpx2

    class Bounded(httpx2.HTTPTransport):
        def handle_request(self, request: Any) -> Any:
            request.headers["accept-encoding"] = "identity"
            answer = super().handle_request(request)
            if answer.headers.get("content-encoding", "identity") != "identity":
                answer.close()
                raise UnboundedAnswerError("an answer that is packed, though none was asked for")
            answer.stream = _BoundedStream(answer.stream, most_bytes, time.monotonic() + seconds)
            return answer

    class _BoundedStream(httpx2.SyncByteStream):
        def __init__(self, inner: Any, most: int, until: float) -> None:
            self._inner, self._most, self._until = inner, most, until

        def __iter__(self) -> Iterator[bytes]:
            read = 0
            for piece in self._inner:
                read += len(piece)
                if read > self._most:
                    raise UnboundedAnswerError("an answer that does not end")
                if time.monotonic() > self._until:
                    raise UnboundedAnswerError("an answer that takes longer than timeout_seconds")
                yield piece

        def close(self) -> None:
            self._inner.close()

    proxies: dict[str, Any] = {"trust_env": False} if local else {"mounts": _proxies(Bounded)}
    return {"transport": Bounded(), "follow_redirects": False, "timeout": httpx2.Timeout(seconds), **proxies}


def _proxies(transport: Any) -> dict[str, Any]:
    """The environment's proxies, through bounded transports too."""
    from urllib.request import getproxies

    found = getproxies()
    return {f"{scheme}://": transport(proxy=found[scheme]) for scheme in ("http", "https") if found.get(scheme)}

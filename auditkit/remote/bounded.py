"""An HTTP client's transport that trusts no server: answers are bounded in size and in time, and taken as they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from auditkit.remote.address import is_loopback

MOST_BYTES = 64 * 2**20  # of one answer: 128 answers of 65,536 tokens with their ids take less


class UnboundedAnswerError(Exception):
    """An answer that is too long, too slow, or packed."""


def bounded_client(seconds: float, address: str, *, most_bytes: int = MOST_BYTES, **settings: Any) -> Any:
    """The official OpenAI client's own kind of HTTP client, held to these bounds.

    No redirect is followed, for it would take the key along. Proxies are the environment's, but for ``address`` on this
    machine or in NO_PROXY: what is said to stay here stays here.
    """
    import httpx2

    return httpx2.Client(**transport_settings(seconds, address, most_bytes=most_bytes), **settings)


def transport_settings(seconds: float, address: str, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """What an httpx2 client is made with that asks whoever is at this address."""
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

    direct = is_loopback(address) or proxy_bypass(urlsplit(address).netloc)
    return {
        "transport": Bounded(),
        "mounts": {} if direct else _proxies(Bounded),
        "trust_env": False,  # of it the proxies are all that is wanted, and those are bounded
        "follow_redirects": False,
        "timeout": httpx2.Timeout(seconds),
    }


def _proxies(transport: Any) -> dict[str, Any]:
    """The environment's proxies, through bounded transports too."""
    found = getproxies()
    return {f"{scheme}://": transport(proxy=found[scheme]) for scheme in ("http", "https") if found.get(scheme)}

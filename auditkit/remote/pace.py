"""No more requests, and no more tokens, a minute than a service allows: better to wait than to be turned away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MINUTE = 60.0


class Pace:
    """Says how long each request has to wait for its turn, spread evenly; of several threads each gets its own turn."""

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = requests_per_minute
        self._tokens = tokens_per_minute
        self._clock = clock
        self._free = 0.0  # when the next request may go
        self._lock = threading.Lock()

    def turn(self, tokens: int) -> float:
        """Seconds to wait before a request of so many tokens, prompt and longest answer together, may be sent."""
        with self._lock:
            now = self._clock()
            at = max(now, self._free)
            self._free = at + self._takes(tokens)
            return at - now

    def _takes(self, tokens: int) -> float:
        a_request = MINUTE / self._requests if self._requests else 0.0
        its_tokens = MINUTE * tokens / self._tokens if self._tokens else 0.0
        return max(a_request, its_tokens)

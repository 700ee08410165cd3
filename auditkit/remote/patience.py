"""How long to wait for a service, and when to stop."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from auditkit.remote.failures import Failure, ReadFailure

log = logging.getLogger(__name__)

LONGEST_BACKOFF_SECONDS = 120.0
JITTER = 0.25  # at most so much longer than said, so that two audits do not ask in step
T = TypeVar("T")


def sleep(seconds: float) -> None:
    """Wait. In one place, so that whoever must wait otherwise can."""
    time.sleep(seconds)


@dataclass(frozen=True)
class Patience:
    """Tries of one request, and seconds of waiting for it in all."""

    attempts: int
    seconds: float
    service: str  # as messages call it
    read: ReadFailure
    wait: Callable[[float], None] = sleep

    def ask(self, request: Callable[[], T], failed: Callable[[Failure], None] = lambda _: None) -> T:
        """The request's answer, tried again while the service is busy, out of reach, or answers what is no JSON.

        Waits are as long as the service asks, else twice as long each time; a little longer at random. ``failed`` is
        told of every try that failed.

        Raises:
            RequestRefusedError: the request is wrong.
            RunError: otherwise refused, still failing at the last attempt, or asked to wait beyond all patience. No
                message holds text or key.
        """
        waited = 0.0
        for attempt in range(1, self.attempts + 1):
            try:
                return request()
            except Exception as error:
                failure = self.read(error)
                if failure is None:
                    raise
            failed(failure)
            if not failure.passing or attempt == self.attempts:
                raise failure.final(self.service)
            pause = failure.asked if failure.asked is not None else min(LONGEST_BACKOFF_SECONDS, 2.0 ** (attempt - 1))
            if waited + pause > self.seconds:
                raise failure.too_long(self.service, pause, self.seconds)
            pause *= 1 + JITTER * random.random()  # noqa: S311 - no secret
            told = (self.service, failure.what, attempt, self.attempts, pause)
            log.info("%s: %s, attempt %d of %d; waiting %.1f s", *told)
            self.wait(pause)
            waited += pause
        raise AssertionError("the loop returns or raises")

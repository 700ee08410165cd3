"""Requests to a server: several at once, each tried with patience, at the allowed pace, within the budget."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from auditkit.errors import RunError
from auditkit.models.remote_section import RemoteBackend
from auditkit.remote.budget import Meter, Spent
from auditkit.remote.failures import Failure, ReadFailure
from auditkit.remote.pace import Pace

T = TypeVar("T")
# What may follow the name of a model without making it another's: -2026-01-31, -0613, -002, -preview-05-20.
DATED = re.compile(r"-((preview|exp)-\d\d-\d\d|((preview|exp)-)?(\d{3,8}|\d{4}-\d\d-\d\d))")


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What a server answered, what it counted, and what it calls itself; "" or None for what it does not say."""

    found: T
    used: Spent | None
    model: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request: the most that it can take, how it is sent, how its answer is read, and who hears of it first.

    What is sent is billed before the answer is read: whatever is wrong with that, it was paid for.
    """

    dearest: Spent
    send: Callable[[], Reply[Any]]
    read: Callable[[Any], T]
    keep: Callable[[T], None] = lambda _: None


class Calls:
    """The requests of one open model."""

    def __init__(self, section: RemoteBackend, read: ReadFailure) -> None:
        self._section = section
        self._meter: Meter = section.meter
        self._pace = Pace(section.requests_per_minute, section.tokens_per_minute)
        self._stopped = threading.Event()
        self._patience = replace(section.patience(read), wait=self._wait)
        self._pool = ThreadPoolExecutor(section.concurrency, thread_name_prefix="auditkit-request")

    def every(self, calls: Sequence[Call[T]]) -> list[T]:
        """The answers in the given order. When one fails for good, those not yet sent are not sent.

        Raises:
            RunError: as ``Patience.ask``; the budget is used up; another model answers.
        """
        self._stopped.clear()
        under_way = [self._pool.submit(self._one, call) for call in calls]
        try:
            done, _ = wait(under_way, return_when=FIRST_EXCEPTION)
            if any(future.exception() for future in done):
                self._stop(under_way)
                wait(under_way)
        except BaseException:
            self._stop(under_way)
            raise
        failed = [error for future in under_way if not future.cancelled() and (error := future.exception())]
        if failed:
            raise next((error for error in failed if not isinstance(error, _StoppedError)), failed[0])
        return [future.result() for future in under_way]

    def close(self) -> None:
        """Send nothing more. What is under way is waited for: it is still to be counted, while the run is locked."""
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._meter.tell()

    def _stop(self, under_way: Sequence[Future[T]]) -> None:
        self._stopped.set()
        for future in under_way:
            future.cancel()

    def _one(self, call: Call[T]) -> T:
        """One request to its end. What it may cost is held back while it is under way."""
        held = False

        def attempt() -> Reply[Any]:
            nonlocal held
            if self._stopped.is_set():
                raise _StoppedError
            self._meter.reserve(call.dearest)
            held = True
            self._wait(self._pace.turn(call.dearest.tokens))
            return call.send()

        def settle(used: Spent) -> None:
            nonlocal held
            if held:
                self._meter.settle(call.dearest, used)
            held = False

        def failed(failure: Failure) -> None:
            settle(call.dearest if failure.charged else Spent())

        try:
            reply = self._patience.ask(attempt, failed)
            settle(reply.used or call.dearest)
        finally:
            settle(Spent())
        self._refuse_another(reply.model)
        self._meter.server_said(reply.model, reply.fingerprint)
        found = call.read(reply.found)
        call.keep(found)
        return found

    def _wait(self, seconds: float) -> None:
        if seconds > 0 and self._stopped.wait(seconds):
            raise _StoppedError

    def _refuse_another(self, model: str) -> None:
        """Providers answer with a dated name (model-2026-01-31); any other name (model-mini) is another model's."""
        asked = self._section.model
        if not model or model in (asked, *self._section.answers_as):
            return
        if model.startswith(asked) and DATED.fullmatch(model, len(asked)):
            return
        raise RunError(
            f"{self._section.service} was asked for {asked} and says that {model[:200]} answered",
            "if that is the same model, list the name under answers_as",
        )


class _StoppedError(RunError):
    """Another request failed for good."""

    def __init__(self) -> None:
        super().__init__("requests were stopped", "run again with --resume")

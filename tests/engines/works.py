"""Work for the engine's own tests: small, and sometimes fatal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.engines.base import Shared, Work
from auditkit.errors import DataError, ModelError

SECRET = "the blue kettle is in the hall"


@dataclass(frozen=True)
class Doubling(Work):
    """Twice each number, from a table that is shared."""

    table: Shared

    def opened(self) -> Callable[[int], int]:
        table = self.table.get()
        return lambda unit: int(table[unit]) * 2

    def told(self, unit: int) -> str:
        return f"number {unit}"


@dataclass(frozen=True)
class Trouble(Work):
    """Numbers as they are, but for what some of them do."""

    def opened(self) -> Callable[[int], int]:
        return self._do

    def told(self, unit: int) -> str:
        return f"the unit of number {unit}"

    def _do(self, unit: Any) -> Any:
        if unit == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if unit == "model":
            raise ModelError("no such weights", "give others")
        if unit == "data":
            raise DataError([])
        if unit == "quote":
            raise KeyError(SECRET)
        time.sleep(0.01)
        return unit


@dataclass(frozen=True)
class NeverOpens(Work):
    """Its model is not there."""

    def opened(self) -> Callable[[Any], Any]:
        raise ModelError("cannot be opened here", "open it elsewhere")

    def told(self, unit: Any) -> str:
        return str(unit)


@dataclass(frozen=True)
class Seeing(Work):
    """What a worker sees of the environment."""

    def opened(self) -> Callable[[str], str | None]:
        return os.environ.get

    def told(self, unit: str) -> str:
        return unit


@dataclass(frozen=True)
class FallingOnce(Work):
    """Numbers as they are; at one of them the first worker that comes to it dies."""

    number: int
    fallen: Path

    def opened(self) -> Callable[[int], int]:
        return self._do

    def told(self, unit: int) -> str:
        return f"number {unit}"

    def _do(self, unit: int) -> int:
        if unit == self.number and not self.fallen.exists():
            self.fallen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return unit


@dataclass(frozen=True)
class Waiting(Work):
    """Even numbers are there at once; odd ones wait for a sign, and say whether it came."""

    sign: Path
    seconds: float

    def opened(self) -> Callable[[int], bool]:
        return self._do

    def told(self, unit: int) -> str:
        return f"number {unit}"

    def _do(self, unit: int) -> bool:
        until = time.monotonic() + self.seconds * (unit % 2)
        while not self.sign.exists() and time.monotonic() < until:
            time.sleep(0.05)
        return unit % 2 == 0 or self.sign.exists()

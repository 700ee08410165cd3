"""How far a run is, in a small file of its scratch folder: written by the run itself, read by ``auditkit status``.

It names stages, attacks and datasets, never a text of the data; no report and no attestation knows of it.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from auditkit import strict_json
from auditkit.auditing.events import now
from auditkit.auditing.pace import Pace
from auditkit.auditing.progress import Progress, Stage
from auditkit.auditing.run_folder import RunFolder
from auditkit.errors import AuditkitError, RunError
from auditkit.files import read_plain, replacing

SECONDS = 1.0  # between two writings
MOST_BYTES = 16_384
LONGEST_NAME = 300

Count = Annotated[StrictInt, Field(ge=0, lt=2**53)]
Name = Annotated[str, Field(max_length=LONGEST_NAME)]
Seconds = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
Time = Annotated[str, Field(max_length=40, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")]
Ended = Literal["", "interrupted", "failed"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StageStatus(_Strict):
    """A stage under way: ``done`` of ``total`` units, ``before`` of which by an earlier process.

    ``seconds`` since it began in this process, at the time of writing.
    """

    name: Name
    unit: Name
    total: Count
    done: Count
    before: Count
    tokens: Count
    seconds: Seconds
    started: Time


class Status(_Strict):
    """What a run says of itself. ``stages`` are finished ones; ``ended``: "" while it works."""

    format: Literal[1]
    pid: Count
    host: Name
    resumed: StrictBool
    started: Time
    updated: Time
    stage: StageStatus | None = None
    stages: Count = 0
    ended: Ended = ""


class StatusFile:
    """A listener that writes what it hears, once a second at most. What it cannot write, it leaves: the run goes on.

    Only the thread that tells writes: when the scratch folder goes, nobody makes it anew.
    """

    def __init__(self, run: RunFolder, *, resumed: bool, every: float = SECONDS) -> None:
        self._path, self._resumed, self._every = run.status_file, resumed, every
        self._host, self._started = socket.gethostname()[:LONGEST_NAME], now()
        self._stages: list[_Told] = []
        self._broke: _Told | None = None
        self._finished, self._written = 0, -every
        self._lock = threading.Lock()

    def stage(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Stage]:
        return self._stage(_Told(self, name[:LONGEST_NAME], unit, Pace(total, done)))

    @contextmanager
    def _stage(self, told: _Told) -> Iterator[Stage]:
        self._stages.append(told)
        self.write()
        try:
            yield told
        except BaseException:
            self._broke = told if self._broke is None else self._broke  # the innermost hears of it first
            raise
        else:
            self._finished, self._broke = self._finished + 1, None
        finally:
            self._stages.remove(told)

    def note(self, text: str) -> None:
        pass

    def advanced(self) -> None:
        """Write, unless that was done a moment ago."""
        if time.monotonic() - self._written >= self._every:
            self.write()

    def write(self, ended: Ended = "") -> None:
        """Write now."""
        with self._lock, suppress(RunError, OSError):
            self._written = time.monotonic()
            content = self._status(ended).model_dump_json().encode()
            if self._path.parent.is_dir():
                with replacing(self._path, durable=False) as temporary:
                    temporary.write_bytes(content)

    def _status(self, ended: Ended) -> Status:
        stage = self._broke if ended else next(reversed(self._stages), None)
        return Status(
            format=1,
            pid=os.getpid(),
            host=self._host,
            resumed=self._resumed,
            started=self._started,
            updated=now(),
            stage=stage.status if stage else None,
            stages=self._finished,
            ended=ended,
        )


class _Told:
    def __init__(self, file: StatusFile, name: str, unit: str, pace: Pace) -> None:
        self._file, self._name, self._unit, self._pace, self._began = file, name, unit, pace, now()

    def advance(self, done: int, tokens: int = 0) -> None:
        self._pace.add(done, tokens)
        self._file.advanced()

    @property
    def status(self) -> StageStatus:
        """As it stands."""
        pace = self._pace
        return StageStatus(
            name=self._name,
            unit=self._unit,
            total=pace.total,
            done=pace.done,
            before=pace.before,
            tokens=pace.tokens,
            seconds=round(pace.seconds, 3),
            started=self._began,
        )


@contextmanager
def telling(run: RunFolder, *, resumed: bool) -> Iterator[Progress]:
    """A status file for as long as the run works; what ended it stands in there afterwards, unless it was killed."""
    file = StatusFile(run, resumed=resumed)
    file.write()
    try:
        yield file
    except KeyboardInterrupt:
        file.write("interrupted")
        raise
    except BaseException:
        file.write("failed")
        raise


def read_status(path: Path) -> Status | None:
    """What the file says; None where there is none, or none that any run could have written."""
    try:
        content = read_plain(path, MOST_BYTES)
        return Status.model_validate(strict_json.parse(content)) if len(content) <= MOST_BYTES else None
    except (OSError, ValueError, ValidationError, AuditkitError, RecursionError):
        return None


def seconds_since(moment: str) -> float:
    """Since a time as ``now`` gives it; never negative."""
    with suppress(ValueError):
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    return 0.0

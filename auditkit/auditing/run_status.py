"""What another process is told of a run: whether it works, how far it is, how it ended, and how to go on with it.

All of it is read from the run folder, and none of it trusted: a status that no run could have written counts as none.
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from auditkit.auditing.known_runs import attested_outcome
from auditkit.auditing.pace import rate_words, seconds_left
from auditkit.auditing.run_folder import existing
from auditkit.auditing.status_file import Status, read_status, seconds_since
from auditkit.errors import AuditkitError, RunError

State = Literal["running", "interrupted", "failed", "finished", "unknown"]


@dataclass(frozen=True)
class StageNow:
    """The stage that a run is in, or was in when it ended. Times are seconds; None where nothing can be said yet."""

    name: str
    done: int
    total: int
    unit: str
    tokens: int
    rate: str
    seconds: float
    seconds_left: float | None


@dataclass(frozen=True)
class RunStatus:
    """A run as seen from outside. ``since``: when the process began that works, or worked last, on it.

    ``verdict``: of a finished run, as attested (``auditkit verify`` says whether that holds). ``next``: what to type.
    ``seconds_silent``: since it last wrote how far it is.
    """

    run: str
    folder: str
    state: State
    detail: str
    verdict: str | None = None
    since: str = ""
    resumed: bool = False
    host: str = ""
    pid: int | None = None
    stages_done: int = 0
    stage: StageNow | None = None
    seconds_silent: float | None = None
    next: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def status_of(path: Path) -> RunStatus:
    """How the run in this folder stands.

    Raises:
        AuditkitError: there is no run, or it cannot be read.
    """
    run = existing(path)
    held = run.held  # before the rest: what ends meanwhile is then seen as ended
    if run.finished:
        outcome = attested_outcome(run.path)
        detail = "" if outcome else "its attestation cannot be read"
        return RunStatus(run.id, str(path), "finished", detail, verdict=outcome, next=f"auditkit verify {_typed(path)}")
    told = read_status(run.status_file)
    state, detail = ("running", "") if held else _ended(told)
    typed = {"running": "", "unknown": f"auditkit status {_typed(path)}   (on {told.host if told else ''})"}
    return RunStatus(
        run.id,
        str(path),
        state,  # type: ignore[arg-type]
        detail,
        **(_facts(told, running=held) if told else {}),
        next=typed.get(state, f"auditkit run --resume {_typed(path)}"),
    )


def runs_in(folder: Path) -> Iterator[RunStatus]:
    """Every run of a folder of reports, the latest last; what cannot be read is passed over.

    Raises:
        AuditkitError: it is no folder.
    """
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        hint = "give a run folder, or a folder of runs"
        raise AuditkitError(f"{folder} cannot be read: {error.strerror}", hint) from None
    for path in sorted(found, key=lambda path: (path.name.split("-")[-2:], path.name)):
        with suppress(AuditkitError, RunError, OSError):
            yield status_of(path)


def _ended(told: Status | None) -> tuple[State, str]:
    """What became of a run that no process of this machine holds."""
    if told is None:
        return "interrupted", "it did not say how far it was"
    if told.ended:
        return told.ended, ""
    if told.host != socket.gethostname():
        return "unknown", f"it was run on {told.host}, and from here its process cannot be seen"
    return "interrupted", "its process is gone: it was killed, or the machine went down"


def _facts(told: Status, *, running: bool) -> dict[str, Any]:
    silent = seconds_since(told.updated)
    return {
        "since": told.started,
        "resumed": told.resumed,
        "host": told.host,
        "pid": told.pid,
        "stages_done": told.stages,
        "stage": _stage(told, silent if running else 0.0),
        "seconds_silent": round(silent, 1),
    }


def _stage(told: Status, silent: float) -> StageNow | None:
    stage = told.stage
    if stage is None:
        return None
    here = max(0, stage.done - stage.before)
    left = seconds_left(stage.total, stage.done, here, stage.seconds)
    return StageNow(
        name=stage.name,
        done=stage.done,
        total=stage.total,
        unit=stage.unit,
        tokens=stage.tokens,
        rate=rate_words(here, stage.tokens, stage.seconds),
        seconds=round(stage.seconds + silent, 1),
        seconds_left=None if left is None else round(max(0.0, left - silent), 1),
    )


def _typed(path: Path) -> str:
    return shlex.quote(str(path))

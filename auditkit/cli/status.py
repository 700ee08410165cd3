"""``auditkit status``: how far a run is, from another shell."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditkit.errors import AuditkitError, visible

if TYPE_CHECKING:
    from auditkit.auditing.run_status import RunStatus

WATCH_SECONDS = 2.0
LONG_SILENCE = 60.0


@click.command()
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path), default=Path("reports"))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON: one object, or a list for a folder of runs.")
@click.option("--watch", is_flag=True, help="Print it again every 2 seconds until the run is over.")
def status(path: Path, *, as_json: bool, watch: bool) -> None:
    """Say how far a run is: the stage under way, its rate, the time left; how it ended, and what to type to go on.

    RUN is a run folder, or a folder of runs (default: reports), which are listed. A run that was killed is told from
    one that works by the lock that its process holds. The exit code is 0 whatever the state is.

    \b
    Examples:
      auditkit status reports/support-bot-1.2-20261122T101500Z-1a2b3c4d
      auditkit status reports/support-bot-1.2-20261122T101500Z-1a2b3c4d --watch
      auditkit status reports/
    """
    from auditkit.auditing.run_status import runs_in, status_of

    if (path / "policy.lock.yaml").is_file():
        _one(path, as_json=as_json, watch=watch)
    elif watch:
        raise AuditkitError(f"{path} is not a run folder", "--watch follows one run: give its folder")
    elif path.is_dir():
        found = list(runs_in(path))
        if as_json:
            click.echo(json.dumps([one.as_json() for one in found], indent=2))
        else:
            click.echo("\n".join(map(_line, found)) if found else f"no run in {visible(str(path))}")
    else:
        status_of(path)  # says what is wrong


def _one(path: Path, *, as_json: bool, watch: bool) -> None:
    from auditkit.auditing.run_status import status_of

    while True:
        found = status_of(path)
        click.echo(json.dumps(found.as_json(), indent=None if watch else 2) if as_json else _words(found))
        if not watch or found.state != "running":
            return
        time.sleep(WATCH_SECONDS)
        if not as_json:
            click.echo()


def _words(found: RunStatus) -> str:
    """The whole of it, a fact a line."""
    lines = [f"{found.run}: {_state(found)}", *(f"  {name:<9}{value}" for name, value in _facts(found) if value)]
    return "\n".join(map(visible, lines))


def _line(found: RunStatus) -> str:
    """One line of a list."""
    stage = f"{found.stage.name}: {_far(found)}" if found.stage and found.state != "finished" else ""
    return visible("  ".join(filter(None, (found.run, _state(found), stage))))


def _state(found: RunStatus) -> str:
    return f"finished, verdict: {found.verdict or 'unknown'}" if found.state == "finished" else found.state


def _facts(found: RunStatus) -> list[tuple[str, str]]:
    from auditkit.auditing.pace import humane
    from auditkit.auditing.status_file import seconds_since

    ago = f" ({humane(seconds_since(found.since))} ago)" if found.since else ""
    who = f", process {found.pid} on {found.host}" if found.pid is not None else ""
    since = f"{'resumed' if found.resumed else 'begun'} {found.since}{ago}{who}" if found.since else ""
    silent = found.seconds_silent or 0.0
    news = f"nothing for {humane(silent)}" if found.state == "running" and silent >= LONG_SILENCE else ""
    ended = f"{humane(silent)} ago" if found.state != "running" and found.seconds_silent is not None else ""
    return [
        ("because", found.detail),
        ("stage", found.stage.name if found.stage else ""),
        ("done", _far(found)),
        ("since", since),
        ("news", news),
        ("last news", f" {ended}" if ended else ""),
        ("next", found.next),
    ]


def _far(found: RunStatus) -> str:
    """``1,024 of 20,000 generations, 431 tokens/s, about 3 min left in this stage``."""
    from auditkit.auditing.pace import humane

    stage = found.stage
    if stage is None:
        return ""
    if stage.total == 1:
        return f"for {humane(stage.seconds)}{' now' if found.state == 'running' else ''}"
    told = [f"{stage.done:,} of {stage.total:,} {stage.unit}"]
    if found.state == "running":
        left = f"about {humane(stage.seconds_left)} left in this stage" if stage.seconds_left is not None else ""
        told += [stage.rate, left]
    return ", ".join(filter(None, told))

"""``auditkit purge``: erase the texts of a run."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditkit.errors import AuditkitError

if TYPE_CHECKING:
    from auditkit.auditing.purge import PurgePlan

NOT_SECURE = (
    "Files are unlinked, not overwritten: on SSDs, copy-on-write file systems, snapshots and backups their bytes may "
    "remain. Where that matters, encrypt the disk and destroy its key."
)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--now", "at_once", is_flag=True, help="Also before the policy's retention period is over.")
@click.option("--key", default="", metavar="KEY", help="The run's signing key: a file or env:NAME (default: as run).")
@click.option("--by", default="", metavar="WHO", help="Who purges (default: the policy's auditor).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON on stdout.")
def purge(run: Path, *, at_once: bool, key: str, by: str, yes: bool, as_json: bool) -> None:
    """Erase evidence, weights, full reports and audit.json of a run.

    What stays still verifies: the policy's lock, the events, the attestation, the redacted reports,
    audit.redacted.json, SARIF, JUnit, ML-BOM and summary. A statement, signed with the key that signed
    the run, says what was purged, when and by whom. A purge that was cut off goes on when it is called again.

    Files are unlinked, not overwritten: on SSDs, copy-on-write file systems, snapshots and backups their
    bytes may remain. The data itself, copies of the run and caches beside the policy (.auditkit) are not touched.

    \b
    Example:
      auditkit purge reports/support-bot-1.2-20261122T101500Z-1a2b3c4d
      auditkit verify reports/support-bot-1.2-20261122T101500Z-1a2b3c4d
    """
    from auditkit.auditing import purge as purging
    from auditkit.auditing import run_folder

    plan = purging.plan(run_folder.existing(run))
    if not plan.goes:
        click.echo(f"{run}: nothing is left to purge", err=True)
    elif not yes:
        _ask(plan)
    statement = purging.purge(plan, key=key, by=by, at_once=at_once)
    if as_json:
        click.echo(json.dumps({"run": str(run), "purged": plan.goes, "statement": str(statement)}, indent=2))
    elif not plan.goes:
        click.echo(f"{run}: was purged before; the statement is {statement.name}")
    else:
        click.echo(f"{run}: {len(plan.goes)} files purged; the statement is {statement.name}")
    if plan.goes:
        click.echo(NOT_SECURE, err=True)


def _ask(plan: PurgePlan) -> None:
    """Say what goes and what stays, and have it confirmed."""
    click.echo("These go:", err=True)
    for name, files in Counter(name.split("/")[0] for name in plan.goes).items():
        click.echo(f"  {name}" + (f"/  {files} files" if f"{name}/" in "/".join(plan.goes) else ""), err=True)
    click.echo("These stay:", err=True)
    for name in plan.stays:
        click.echo(f"  {name}", err=True)
    if not sys.stdin.isatty():
        raise AuditkitError("a purge is asked for on no terminal, and cannot be undone", "give --yes")
    click.confirm("Erase the texts of this run for good?", abort=True, err=True)

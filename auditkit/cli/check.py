"""``auditkit check``: everything that can be known before a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditkit.errors import visible

if TYPE_CHECKING:
    from auditkit.auditing.preflight import Preflight


@click.command()
@click.argument("policy", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), help="Where the run would write.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override one value of the policy.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def check(policy: Path, out: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Validate a policy and preflight its audit without opening a model.

    Tells every problem at once with its line: data and digests, chat template, controls, whether the gate can pass
    at all, disk, time, cost, and what would leave this machine. Exit 0 when nothing is wrong, else 2.

    \b
    Example:
      auditkit check policy.yaml
    """
    from auditkit.auditing.preflight import Preflight, preflight
    from auditkit.errors import PolicyError
    from auditkit.policy.load import load_policy

    try:
        found = preflight(load_policy(policy, overrides=list(overrides)), out)
    except PolicyError as error:
        if not as_json:
            raise
        found = Preflight(problems=list(error.problems))
    if as_json:
        click.echo(json.dumps(_as_data(found), indent=2))
    else:
        _print(found, policy)
    sys.exit(0 if found.ok else 2)


def _as_data(found: Preflight) -> dict[str, object]:
    problems = [{"file": str(p.file), "line": p.line, "message": p.message, "hint": p.hint} for p in found.problems]
    power = [one.model_dump() for one in found.powers]
    return {"ok": found.ok, "problems": problems, "warnings": found.warnings, "facts": found.facts, "power": power}


def _print(found: Preflight, policy: Path) -> None:
    for section, sentences in found.facts.items():
        click.secho(section, bold=True)
        for sentence in sentences:
            click.echo(f"  {visible(sentence)}")
    if found.powers:
        from auditkit.cli.power_table import power_table

        heading, *lines = power_table(found.powers)
        click.secho(heading, bold=True)
        click.echo("\n".join(lines))
    for warning in found.warnings:
        click.echo(f"{click.style('warning:', fg='yellow')} {visible(warning)}", err=True)
    for problem in found.problems:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {problem}", err=True)
    count = len(found.problems)
    name = visible(str(policy))
    click.echo(f"{name}: ready to run" if found.ok else f"{name}: {count} problem{'s' * (count != 1)}")

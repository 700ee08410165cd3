"""``auditkit register``: fix the policy before the result is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from auditkit.auditing.registered import Registered


@click.command()
@click.argument("policy", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write elsewhere than beside the policy.")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), help="Whose ledger is asked.")
@click.option("--again", is_flag=True, help="Register anew: the earlier registration is kept and named.")
@click.option("--json", "as_json", is_flag=True, help="Print the registration as JSON on stdout.")
def register(policy: Path, *, out: Path | None, reports: Path, again: bool, as_json: bool) -> None:
    """Sign a policy before its run, and time-stamp it where report.sign.timestamp names an authority.

    The registration holds the policy's digest, its rules and limits, digests of model and data where they are
    there already, and the number of earlier runs in the ledger. `auditkit run` finds it beside the policy; the
    report then says whether the limits were fixed before the result was known. Of the policy only a digest is
    sent to the authority. A local ledger cannot exclude runs made elsewhere.

    \b
    Example:
      auditkit register policy.yaml
      auditkit run policy.yaml
    """
    from auditkit.auditing import registered
    from auditkit.errors import visible as shown
    from auditkit.policy.load import load_policy

    done = registered.register(load_policy(policy), out, reports, again=again)
    if as_json:
        stamp = {"time": done.stamp.time.isoformat(), "authority": done.stamp.authority} if done.stamp else None
        registration = done.predicate.model_dump(mode="json")
        found = {"file": str(done.file), "registration": registration, "timestamp": stamp, "warnings": done.warnings}
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo("\n".join(_lines(done)))
    for told in (shown(warning, keep="\n") for warning in done.warnings):
        click.echo(f"{click.style('warning:', fg='yellow')} {told}", err=True)


def _lines(done: Registered) -> Iterator[str]:
    from auditkit.signing.files import visible

    facts = done.predicate
    yield f"{done.file}  the registration: leave it beside the policy, and keep a copy elsewhere"
    yield f"policy     {facts.policy.name}, SHA-256 {facts.policy.sha256}"
    yield from (f"rule       {visible(rule.words)}" for rule in facts.gate)
    for model in facts.models:
        yield f"model      {model.role}, {_digest(model.sha256)}"
    for data in facts.datasets:
        yield f"dataset    {data.name}, {_digest(data.merkle_root, 'Merkle root')}"
    known = "not known: model or data are not there yet" if facts.earlier_runs is None else str(facts.earlier_runs)
    yield f"earlier    runs of the same model and data: {known}"
    stamped = f"stamped {done.stamp.time.isoformat()} by {done.stamp.authority}" if done.stamp else "no time stamp"
    yield f"time       {facts.registered} by this machine's clock; {stamped}"
    if done.kept:
        yield f"{done.kept}  the earlier registration, which the new one names"


def _digest(digest: str | None, what: str = "SHA-256") -> str:
    if digest is None:
        return "not there yet, or not readable: not in the registration"
    return f"{what} {digest}" if digest else "nothing to digest"

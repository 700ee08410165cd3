"""``auditkit waive``: a signed exception to a rule, or for a record, with an expiry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditkit.errors import AuditkitError

if TYPE_CHECKING:
    from auditkit.policy.schema import Policy


@click.command()
@click.argument("policy", type=click.Path(path_type=Path))
@click.option("--metric", help="Waive a rule: the metric that it limits.")
@click.option("--attack", default="*", show_default=True, help="The attack or probe, as the report names it.")
@click.option("--dataset", default="*", show_default=True, help="The dataset.")
@click.option("--view", type=click.Choice(["record", "prompt", "*"]), default="*", show_default=True, help="The view.")
@click.option("--max", "limit", type=float, help="The limit waived (default: the one in the policy's gate).")
@click.option("--at-most", type=float, help="The figure up to which it holds (default: any).")
@click.option("--record", metavar="ITEM", help="Waive a record in place of a rule: its id, rec-..., or FILE:LINE.")
@click.option("--reason", help="Why, in one line: it stands in every report.")
@click.option("--who", metavar="NAME", help="Who waives.")
@click.option("--expires", metavar="DATE", help="The last day of it, YYYY-MM-DD (UTC), within 366 days.")
@click.option("--model-sha256", default="", metavar="HEX", help="Bind it to this candidate model.")
@click.option("--key", metavar="env:NAME|FILE", help="The approver's private key.")
@click.option("--withdraw", type=int, metavar="N", help="Take waiver N out of the file again, and sign it anew.")
@click.option("--list", "show_all", is_flag=True, help="Show every waiver and its state; sign nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def waive(policy: Path, *, withdraw: int | None, show_all: bool, as_json: bool, **given: Any) -> None:
    """Add a waiver to the file that the policy names under waivers, and sign the whole file.

    A rule that failed is then reported as waived until the waiver expires; its figure stays. Of records, every
    leaked one must be waived. Only the key that the policy names counts: keep it apart from the auditor's.
    A waiver ends when it expires, or with --withdraw; finished runs keep those that they were made under.

    \b
    Examples:
      auditkit waive policy.yaml --metric adjusted_coverage \\
        --attack template_prefix --dataset sft-support --at-most 0.03 \\
        --reason "Public FAQ texts, ticket LEG-71" --who "J. Doe, Legal" \\
        --expires 2027-03-31 --key env:APPROVER_KEY
      auditkit waive policy.yaml --record rec-5f0c6d7e8f9a0b1c2d3e \\
        --reason "Published on our site" --who "J. Doe, Legal" \\
        --expires 2027-03-31 --key approver/auditkit.key
      auditkit waive policy.yaml --list
      auditkit waive policy.yaml --withdraw 2 --key approver/auditkit.key
    """
    from auditkit.policy.load import load_policy

    loaded = load_policy(policy)
    if withdraw is not None:
        _withdraw(loaded, withdraw, given)
    elif not show_all:
        _add(loaded, given)
    _list(loaded, as_json=as_json, last_only=withdraw is None and not show_all)


def _withdraw(policy: Policy, number: int, given: dict[str, Any]) -> None:
    from auditkit.auditing.waiver_desk import withdraw

    if given["metric"] is not None or given["record"] is not None:
        raise AuditkitError("--withdraw takes a waiver away, and --metric and --record are of a new one", "give one")
    if not given["key"]:
        raise AuditkitError("to withdraw a waiver the file is signed anew", "give the approver's key: --key")
    gone = withdraw(policy, number, given["key"])
    click.echo(f"waiver {number} was withdrawn: {gone.subject}; those after it moved up by one", err=True)


def _add(policy: Policy, given: dict[str, Any]) -> None:
    from auditkit.auditing.declared_records import record_id
    from auditkit.auditing.secret import secret_if_known
    from auditkit.auditing.waiver_desk import add, waived_rule, waiver
    from auditkit.report.wording import listing

    if (given["metric"] is None) == (given["record"] is None):
        raise AuditkitError("a waiver is for a rule or for a record", "give --metric or --record, not both; or --list")
    if missing := [f"--{name}" for name in ("reason", "who", "expires", "key") if not given[name]]:
        raise AuditkitError(f"a waiver needs {listing(missing)}", "auditkit waive --help shows an example")
    rule = None
    if given["metric"] is not None:
        asked = {name: given[name] for name in ("metric", "attack", "dataset", "view")}
        rule = waived_rule(policy, asked, given["limit"], given["at_most"])
    facts = {name: given[name] for name in ("reason", "who", "expires", "model_sha256")}
    record = record_id(policy, given["record"]) if given["record"] else None
    add(policy, waiver(rule=rule, record=record, **facts), given["key"])
    if given["record"] and secret_if_known(policy) is None:
        click.echo("note: whether any record has this id was not checked: the project's secret is not here", err=True)
    if rule is not None and rule.at_most is None:
        click.echo("note: without --at-most it holds however large the figure becomes", err=True)


def _list(policy: Policy, *, as_json: bool, last_only: bool) -> None:
    from auditkit.auditing.waiver_desk import listed, listed_for_the_model, section_of
    from auditkit.signing.files import visible

    source, declared = listed(policy) if last_only else listed_for_the_model(policy)
    shown = declared[-1:] if last_only else declared
    file = section_of(policy).file
    if as_json:
        rows = [one.model_dump(mode="json", include={"number", "waiver", "state"}) for one in shown]
        click.echo(json.dumps({"file": file, "approver": source.key.keyid, "waivers": rows}, indent=2))
        return
    click.echo(
        f"{file}: {len(declared)} waiver{'' if len(declared) == 1 else 's'}; approver's key id {source.key.keyid}"
    )
    for one in shown:
        waiver = one.waiver
        model = f", model {waiver.model_sha256[:12]}" if waiver.model_sha256 else ""
        click.echo(f"{one.number:>4}  {one.state}  {waiver.subject}{model}")
        click.echo(visible(f"      by {waiver.who}, {waiver.issued} to {waiver.expires}: {waiver.reason}", 2000))

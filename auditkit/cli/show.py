"""``auditkit show``: the evidence for one item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditkit.errors import AuditkitError

if TYPE_CHECKING:
    from auditkit.report.base import AuditReport, BandExample, Finding


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("item")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, spans as offsets into both texts.")
@click.option("--prove", is_flag=True, help="Write a proof that this record was audited (0600; it holds the record).")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where the proof is written.")
@click.option("--policy", type=click.Path(path_type=Path), help="The policy, where the evidence was purged.")
def show(run: Path, item: str, *, as_json: bool, prove: bool, out: Path | None, policy: Path | None) -> None:
    """Show a leaked record beside the generation that gives it away: what they share to the letter, what differs.

    ITEM is the id of a record (rec-...), of a generation (gen-...) or of a finding, or a record's FILE:LINE, each as
    the report prints it. The texts are confidential: they are printed on this terminal and nowhere else.

    With --prove, ITEM is any record, by id or as FILE:LINE, leaked or not. The proof shows whoever holds it that
    this record was audited, and nothing of the others: auditkit verify RUN --proof FILE.

    \b
    Examples:
      auditkit show reports/bot-20261122T101500Z-1a2b3c4d rec-5f0c...
      auditkit show reports/bot-20261122T101500Z-1a2b3c4d sft.jsonl:17 \\
        --prove --out record.proof.json
    """
    from rich.console import Console

    from auditkit.auditing import run_folder
    from auditkit.auditing.publish import load_report
    from auditkit.report.base import Finding
    from auditkit.report.safe_text import safe_line
    from auditkit.report.terminal import show_leak

    if prove:
        _prove(run, item, out, policy, as_json=as_json)
        return
    if out or policy:
        raise AuditkitError("--out and --policy are for a proof", "add --prove")
    report = load_report(run_folder.existing(run))
    if report.redacted:
        raise AuditkitError(
            f"{run} was purged: its texts are gone", "auditkit report RUN --out DIR renders what stayed, without texts"
        )
    found = _find(report, item)
    if as_json:
        click.echo(json.dumps([finding.model_dump(mode="json") for finding in found], indent=2))
        return
    console = Console(highlight=False)
    for finding in found:
        place = f" ({safe_line(finding.file)}:{finding.line})" if isinstance(finding, Finding) else ""
        click.echo(
            f"{finding.record} of {finding.dataset}{place}, by {finding.generation}: "
            f"embedding {finding.score:.3f}, Levenshtein {finding.levenshtein:.3f}"
        )
        console.print(show_leak(finding))


def _prove(run: Path, item: str, out: Path | None, policy: Path | None, *, as_json: bool) -> None:
    from auditkit.auditing import run_folder
    from auditkit.auditing.proving import write_proof

    path, proof = write_proof(run_folder.existing(run), item, out, policy)
    if as_json:
        facts = {"dataset": proof.dataset, "index": proof.index, "size": proof.size, "sha256": proof.record.sha256}
        click.echo(json.dumps({"proof": str(path), **facts}, indent=2))
        return
    place = f"record {proof.index + 1:,} of {proof.size:,} of {proof.dataset}"
    click.echo(f"{path}: {place}, SHA-256 of the record {proof.record.sha256}")
    click.echo("It holds the record's text: give it only to whoever may read that.", err=True)


def _find(report: AuditReport, item: str) -> list[Finding | BandExample]:
    """Of what the report prints: its findings, else the random pairs of its bands."""
    from auditkit.auditing.declared_records import is_place

    folders = {dataset.name: dataset.folder for dataset in report.datasets}
    found: list[Finding | BandExample] = [
        finding
        for finding in report.findings
        if item in (finding.id, finding.record, finding.generation, finding.generation_id)
        or is_place(item, finding.file, finding.line, folders.get(finding.dataset) or finding.dataset)
    ]
    found = found or [pair for pair in report.figures.bands if item in (pair.record, pair.generation)]
    if not found:
        raise AuditkitError(
            f"no finding of this run is about {item!r}",
            f"{_nearest(report, item)}the report lists {len(report.findings)} of {report.findings_total} leaked "
            "records: give an id or FILE:LINE from there",
        )
    return found


def _nearest(report: AuditReport, item: str) -> str:
    """What was probably meant, of what the report prints."""
    from pathlib import PurePosixPath

    from auditkit.auditing.declared_records import nearly_same_id
    from auditkit.policy.suggestions import nearest

    ids = [one for finding in report.findings for one in (finding.record, finding.generation_id, finding.id)]
    near: str | None = next((one for one in ids if nearly_same_id(one, item)), None)
    file, colon, line = item.rpartition(":")
    places = {PurePosixPath(finding.file).name for finding in report.findings}
    if near is None and colon and PurePosixPath(file).name not in places:
        name = nearest(PurePosixPath(file).name, places)
        near = f"{name}:{line}" if name else None
    return f"did you mean {near}? " if near else ""

"""``auditkit show``: the evidence for one item."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditkit.errors import AuditkitError

if TYPE_CHECKING:
    from auditkit.report.base import AuditReport, Finding


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("item")
def show(run: Path, item: str) -> None:
    """Show a leaked record beside the generation that gives it away, differences marked.

    ITEM is the id of a record (rec-...), of a generation (gen-...) or of a finding, as the report prints it. The
    texts are confidential: they are printed on this terminal and nowhere else.

    \b
    Example:
      auditkit show reports/bot-20261122T101500Z-1a2b3c4d rec-5f0c...
    """
    from rich.console import Console

    from auditkit.audit import run_folder
    from auditkit.audit.publish import load_report
    from auditkit.report.terminal import show_pair

    found = _find(load_report(run_folder.existing(run)), item)
    console = Console(highlight=False)
    for finding in found:
        click.echo(
            f"{finding.record} of {finding.dataset} ({finding.file}:{finding.line}), by {finding.generation}: "
            f"embedding {finding.score:.3f}, Levenshtein {finding.levenshtein:.3f}"
        )
        console.print(show_pair(finding.record_text, finding.generation_text))


def _find(report: AuditReport, item: str) -> list[Finding]:
    found = [f for f in report.findings if item in (f.id, f.record, f.generation, f.generation_id)]
    if not found:
        raise AuditkitError(
            f"no finding of this run is about {item!r}",
            f"the report lists {len(report.findings)} of {report.findings_total} leaked records; give an id from there",
        )
    return found

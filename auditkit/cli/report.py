"""``auditkit report``: render again what a run found."""

from __future__ import annotations

from pathlib import Path

import click

from auditkit.registry import kinds


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder other than the run's.")
@click.option("--format", "formats", multiple=True, help="Formats (default: html); auditkit plugins lists them.")
def report(run: Path, out: Path, formats: tuple[str, ...]) -> None:
    """Render a finished run's reports again, into a new folder; the run stays as it was signed.

    What is made says that it is a copy, which nobody signed. Of a purged run the redacted
    reports are rendered: its texts are gone.

    \b
    Example:
      auditkit report reports/bot-20261122T101500Z-1a2b3c4d --out again \\
        --format pdf
    """
    from auditkit.auditing import run_folder
    from auditkit.auditing.publish import render_again
    from auditkit.errors import AuditkitError

    if unknown := [name for name in formats if name not in kinds("formats")]:
        raise AuditkitError(f"no format is called {unknown[0]!r}", f"one of: {', '.join(kinds('formats'))}")
    folder = run_folder.existing(run)
    if out.resolve().is_relative_to(folder.path):
        raise AuditkitError(f"{out} is inside the run folder", "a file more would break the run's attestation")
    if out.is_dir() and any(out.iterdir()):
        raise AuditkitError(f"{out} is not empty", "name a new folder")
    for path in render_again(folder, out, formats or ("html",)):
        click.echo(path)

"""``auditkit lab removal``: does removing the top of the list do what the report predicts?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

SHARE = click.FloatRange(0, 1, min_open=True)


@click.command()
@click.argument("family", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where to write (default: FAMILY/removal-check).")
@click.option("--share", type=SHARE, default=0.5, show_default=True, help="Of the list's clusters.")
@click.option("--dataset", help="Whose list; by default the one with most leaked clusters.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print removal.json on stdout.")
def removal(family: Path, out: Path | None, share: float, dataset: str | None, **shown: bool) -> None:
    """Audit a family, train it again without the top of its removal list, and audit that.

    Writes removal.json and removal.md: predicted against measured coverage. Exit 0 if the outcome lies inside the
    prediction's interval, 1 if not; interrupted, the same command goes on.

    \b
    Example:
      auditkit lab build family --out family
      auditkit lab removal family --share 0.5
    """
    from auditkit.cli.live_progress import progress_for
    from auditkit.lab.removal_check import markdown, removal_check
    from auditkit.training.libraries import keep_freed_memory

    keep_freed_memory()
    folder = out or family / "removal-check"
    with progress_for(quiet=shown["quiet"] or shown["as_json"], verbose=False) as listener:
        found = removal_check(family, folder, share, dataset, listener)
    click.echo(found.model_dump_json(indent=1) if shown["as_json"] else markdown(found), nl=shown["as_json"])
    sys.exit(0 if found.inside else 1)

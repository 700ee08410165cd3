"""``auditkit lab stages``: is the training stage named right, where the truth is known?"""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("family", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where to write (default: FAMILY/stages-check).")
@click.option("--samples", type=click.IntRange(1), default=1, help="Generations of the main attack, at least.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print stages.json on stdout.")
def stages(family: Path, out: Path | None, samples: int, quiet: bool, as_json: bool) -> None:
    """Audit a family with its own checkpoints as the chain, and count how often the right stage is named.

    Writes stages.json and stages.md. Exit 0 if the stage is right in at least 90 % of the leaked records, 1 if not; an
    interrupted run is gone on with when the command is given again.

    \b
    Example:
      auditkit lab build family --out family
      auditkit lab stages family
    """
    from auditkit.cli.live_progress import progress_for
    from auditkit.lab.stage_check import markdown, stage_check

    folder = out or family / "stages-check"
    with progress_for(quiet=quiet or as_json, verbose=False) as listener:
        found = stage_check(family, folder, samples, listener)
    click.echo(found.model_dump_json(indent=1) if as_json else markdown(found), nl=as_json)
    sys.exit(0 if found.passed else 1)

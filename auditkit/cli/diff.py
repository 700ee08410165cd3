"""``auditkit diff``: what moved between two runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditkit.errors import AuditkitError

if TYPE_CHECKING:
    from auditkit.report.diff import Diff

MOST_ALPHA = 0.5
KINDS = ("html", "markdown", "json")


@click.command()
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write files, into a folder outside both runs.")
@click.option("--format", "formats", multiple=True, type=click.Choice(KINDS), help="Of --out (default: html).")
@click.option(
    "--alpha",
    type=float,
    default=0.05,
    show_default=True,
    help="Chance of a false word over all figures that decide.",
)
@click.option("--key", type=click.Path(path_type=Path), metavar="PUB", help="The public key that signed both runs.")
@click.option("--unverified", is_flag=True, help="Also compare a run that is not as it was attested.")
def diff(
    run_a: Path,
    run_b: Path,
    *,
    as_json: bool,
    out: Path | None,
    formats: tuple[str, ...],
    alpha: float,
    key: Path | None,
    unverified: bool,
) -> None:
    """What moved from RUN_A to RUN_B, such as from release 1.1 to 1.2: figures with intervals, records, scores.

    Leakage rose where the difference of a figure that either gate speaks of lies above 0, corrected for how many such
    figures there are. Generations are paired where both runs have the same attack, seed and data, and still hold
    their evidence; else the two runs' own intervals are compared. What was not measured alike is shown and told, and
    does not decide. Reports of earlier versions and purged runs are compared as far as they go.

    \b
    Examples:
      auditkit diff reports/bot-1.1-20261001T101500Z-1a2b3c4d \\
        reports/bot-1.2-20261122T101500Z-5e6f7a8b
      auditkit diff RUN_A RUN_B --out diff --format html --format markdown

    \b
    Exit codes: 0 no rise of leakage is shown; 1 leakage rose;
    2 the command is wrong, a run is broken, or no figure of either gate
    could be compared.
    """
    from auditkit.auditing.diff import compare_runs

    if not 0 < alpha <= MOST_ALPHA:  # a range would let what is no number pass
        raise AuditkitError(f"--alpha {alpha} is no chance", f"above 0 and at most {MOST_ALPHA}, such as 0.05")
    _check_out(out, formats, (run_a, run_b))
    found = compare_runs(run_a, run_b, key=key, unverified=unverified, alpha=alpha)
    if found.before.id == found.after.id:
        click.echo("note: both are the same run: a comparison with itself shows nothing", err=True)
    _show(found, as_json)
    if out:
        for path in _write(found, out, formats or ("html",)):
            click.echo(str(path), err=as_json)
    sys.exit(found.exit_code)


def _check_out(out: Path | None, formats: tuple[str, ...], runs: tuple[Path, Path]) -> None:
    """Refuse before the work is done."""
    if formats and out is None:
        raise AuditkitError("--format is of the files that --out writes", "give --out DIR as well")
    if out is None:
        return
    if any(out.resolve().is_relative_to(run.resolve()) for run in runs):
        raise AuditkitError(f"{out} is inside a run folder", "a file more would break the run's attestation")
    if out.exists() and not out.is_dir():
        raise AuditkitError(f"{out} is no folder", "name a folder")


def _show(found: Diff, as_json: bool) -> None:
    if as_json:
        click.echo(_as_json(found))
        return
    from rich.console import Console

    from auditkit.report.diff_terminal import render_diff

    console = Console(highlight=False)
    console.print(render_diff(found, console.width))


def _write(found: Diff, out: Path, formats: tuple[str, ...]) -> list[Path]:
    from auditkit.files import make_folder, write_bytes
    from auditkit.report.diff_markdown import markdown
    from auditkit.report.diff_page import page

    makers = {
        "html": ("diff.html", page),
        "markdown": ("diff.md", markdown),
        "json": ("diff.json", _as_json),
    }
    make_folder(out)
    wanted = [makers[kind] for kind in dict.fromkeys(formats)]
    return [write_bytes(out / name, make(found).encode()) for name, make in wanted]


def _as_json(found: Diff) -> str:
    """ASCII, since names come from the runs; what is no number is null."""
    return json.dumps(json.loads(found.model_dump_json()), indent=2)

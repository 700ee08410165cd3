"""``auditkit lab build``: a model family from a recipe and a seed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from auditkit.lab.build import Progress, build
from auditkit.lab.recipe_file import load_recipe
from auditkit.training.libraries import keep_freed_memory


@click.command(name="build")
@click.argument("recipe", metavar="RECIPE")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder, or one to go on with.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of data and training.")
@click.option("--json", "as_json", is_flag=True, help="Print family.json instead of its path.")
@click.option("--quiet", is_flag=True, help="No progress.")
def build_command(recipe: str, out: Path, seed: int, as_json: bool, quiet: bool) -> None:
    """Build the family of RECIPE: a file, or the name of a shipped recipe (tiny, family, near_versions, mitigations,
    mitigations_styles, smollm2).

    Interrupted, the same command goes on; a stage that is complete is not trained again.

    \b
    Example:
      auditkit lab build tiny --out tiny
      auditkit lab build my-recipe.yaml --out family --seed 3
    """
    loaded = load_recipe(recipe)
    keep_freed_memory()
    progress: Progress = _silent if quiet else _teller()
    made = build(loaded, out, seed, progress)
    click.echo(made.read_text("utf-8") if as_json else str(made))
    if not quiet and not as_json:
        for stage in json.loads(made.read_text("utf-8"))["stages"]:
            what = f"{stage['rows']:,} rows, {stage['tokens']:,} tokens, {stage['seconds']:,.0f} s"
            click.echo(f"  {stage['name']}: {what}, loss {stage['loss']:.3f}", err=True)


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Says nothing."""


def _teller() -> Progress:
    """Says each stage once; on a terminal the steps as well, on one line."""
    terminal = sys.stderr.isatty()
    told: set[str] = set()

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in told:
            told.add(stage)
            click.echo(f"{stage} ...", err=True)
        if terminal and total:
            click.echo(f"\r  {done:,}/{total:,}" + ("\n" if done == total else ""), nl=False, err=True)

    return tell

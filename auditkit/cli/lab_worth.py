"""``auditkit lab worth``: what a leak is worth, on families whose training data is known."""

from __future__ import annotations

from pathlib import Path

import click

from auditkit.errors import RunError


@click.command("worth")
@click.argument("recipe", metavar="RECIPE")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder, or one to go on with.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=1, show_default=True, help="Families: seeds 0, 1, ...")
@click.option("--seed-only", type=click.IntRange(min=0), help="Only this seed, and no table: for several at a time.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print worth.json on stdout.")
def worth(  # noqa: PLR0917 -- one parameter an option
    recipe: str, out: Path, seeds: int, seed_only: int | None, quiet: bool, as_json: bool
) -> None:
    """Train families with a skill that the base lacks, extract it, train the base on what came out, and compare.

    RECIPE is a file with a section `worth`, or the name of one that comes with auditkit: worth (supervised), worth_rl
    (Dr. GRPO), worth_quick (a minute or two). Writes worth.json and worth.md. Interrupted, the same command goes on.

    \b
    Example:
      auditkit lab worth worth_quick --out worth
      auditkit lab worth worth --seeds 3 --out worth --seed-only 2
    """
    from auditkit.cli.live_progress import progress_for
    from auditkit.lab import worth as experiment
    from auditkit.lab.recipe_file import load_recipe
    from auditkit.lab.worth_result import FILE_NAME
    from auditkit.report.formatting import interval, percent
    from auditkit.training.libraries import keep_freed_memory

    if seed_only is not None and seed_only >= seeds:
        raise click.BadParameter(f"the seeds are 0 to {seeds - 1}", param_hint="--seed-only")
    loaded = load_recipe(recipe)
    keep_freed_memory()
    try:
        with progress_for(quiet=quiet or as_json, verbose=False) as listener:
            if seed_only is not None:
                click.echo(str(experiment.run_seed(loaded, out, seed_only, listener).folder.path))
                return
            found = experiment.worth(loaded, out, range(seeds), listener)
    except KeyboardInterrupt:
        raise RunError("interrupted", "give the same command again; it goes on where it stopped") from None
    if as_json:
        click.echo(found.model_dump_json(indent=1))
        return
    for family in found.families:
        shown = experiment.recovered_of(family.worth)
        told = shown.value is not None
        words = f"{percent(shown.value)} ({interval(shown)}) of the gain recovered" if told else shown.reason
        click.echo(f"seed {family.seed}: {words}")
    click.echo(f"{out / experiment.TABLE}, {out / FILE_NAME}", err=True)

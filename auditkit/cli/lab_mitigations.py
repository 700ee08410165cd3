"""``auditkit lab mitigations``: what each mitigation is worth, on families whose training data is known."""

from __future__ import annotations

from pathlib import Path

import click

from auditkit.errors import RunError


@click.command("mitigations")
@click.argument("recipe", metavar="RECIPE")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder, or one to go on with.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Families: seeds 0, 1, ...")
@click.option("--seed-only", type=click.IntRange(min=0), help="Only this seed, and no table: for several at a time.")
@click.option("--arms", help="Only these arms, with commas between.")
@click.option("--pool", default=20_000, show_default=True, help="Generations behind the null arm; 0 leaves it out.")
@click.option("--pairs", type=click.IntRange(min=200), default=1000, show_default=True, help="Pairs of the null arm.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print mitigations.json on stdout.")
def mitigations(  # noqa: PLR0917 -- one parameter an option
    recipe: str,
    out: Path,
    seeds: int,
    seed_only: int | None,
    arms: str | None,
    pool: int,
    pairs: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train a family for each seed, audit it with every mitigation as an arm, and put the audits together.

    RECIPE is a file, or the name of one that comes with auditkit, whose post-training is one stage of supervised
    fine-tuning. Writes mitigations.json and mitigations.md. Interrupted, the same command goes on.

    \b
    Example:
      auditkit lab mitigations mitigations --out mitigations
      auditkit lab mitigations mitigations --out mitigations --seed-only 2
    """
    from auditkit.cli.live_progress import progress_for
    from auditkit.lab import mitigations as experiment
    from auditkit.lab.mitigations_result import FILE_NAME
    from auditkit.lab.recipe_file import load_recipe
    from auditkit.training.libraries import keep_freed_memory

    if seed_only is not None and seed_only >= seeds:
        raise click.BadParameter(f"the seeds are 0 to {seeds - 1}", param_hint="--seed-only")
    loaded = load_recipe(recipe)
    chosen = tuple(name.strip() for name in arms.split(",")) if arms else ()
    options = experiment.Options(range(seeds), chosen, pool, pairs)
    keep_freed_memory()
    try:
        with progress_for(quiet=quiet or as_json, verbose=False) as listener:
            if seed_only is not None:
                run = experiment.run_seed(loaded, out, seed_only, options, listener)
                click.echo(str(run.arms.folder.path))
                return
            found = experiment.mitigations(loaded, out, options, listener)
    except KeyboardInterrupt:
        raise RunError("interrupted", "give the same command again; it goes on where it stopped") from None
    if as_json:
        click.echo(found.model_dump_json(indent=1))
        return
    for known in found.known:
        click.echo(f"{known.found:<13} {known.claim}")
    click.echo(f"{out / experiment.TABLE}, {out / FILE_NAME}", err=True)

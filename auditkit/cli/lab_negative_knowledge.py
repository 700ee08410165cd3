"""``auditkit lab negative-knowledge``: does a model use what it was only ever trained against?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from auditkit.errors import RunError


@click.command("negative-knowledge")
@click.argument("recipe")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for results and checkpoints.")
@click.option("--seed", "seeds", type=click.IntRange(min=0), multiple=True, help="Only this seed of the recipe's.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A local model folder to start from, instead of what the recipe says.",
)
@click.option("--quiet", is_flag=True, help="Print what came out only.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")
def negative_knowledge(
    recipe: str, out: Path, seeds: tuple[int, ...], checkpoint: Path | None, **appearance: bool
) -> None:
    """Reproduce the experiment of "LLMs Sometimes Generate Purely Negatively-Reinforced Text".

    Trains small models on random passwords, pushes some of them down with DPO, and measures whether those become more
    probable behind another prefix. An interrupted run goes on where it stopped: give the same command again.
    RECIPE is a file, or the name of one that comes with auditkit.

    \b
    Examples:
      auditkit lab negative-knowledge negative_knowledge --out negative-knowledge
      auditkit lab negative-knowledge negative_knowledge_paper \\
        --checkpoint pythia-160m --out paper --seed 0
    """
    from auditkit.lab.negative_knowledge.experiment import run_experiment
    from auditkit.lab.negative_knowledge.recipe_file import load_recipe
    from auditkit.lab.negative_knowledge.tables import sentence
    from auditkit.training.libraries import keep_freed_memory

    loaded = load_recipe(recipe, checkpoint)
    if unknown := set(seeds) - set(loaded.seeds):
        raise click.BadParameter(f"the recipe has no seed {min(unknown)}", param_hint="--seed")
    keep_freed_memory()
    try:
        summary = run_experiment(
            loaded, out, lambda line: None if appearance["quiet"] else click.echo(line, err=True), seeds
        )
    except KeyboardInterrupt:
        raise RunError("interrupted", "give the same command again; it goes on where it stopped") from None
    click.echo(json.dumps(summary.model_dump(mode="json"), indent=1) if appearance["as_json"] else sentence(summary))
    click.echo(f"{out}/summary.md, {out}/summary.json, {out}/seed-*/result.json", err=True)

"""The policy that values a family's leak: ``worth.yaml`` in its folder, with the tasks that score every arm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auditkit.errors import AuditkitError
from auditkit.files import write_bytes
from auditkit.lab.family_policy import family_sections, policy_text
from auditkit.lab.recipe import Recipe
from auditkit.lab.recipe_sections import Dataset, Grpo, Sft, Stage
from auditkit.lab.stages import json_line
from auditkit.lab.worth_section import WorthOptions
from auditkit.lab.worth_tasks import held_out

FILE, TASKS = "worth.yaml", "data/worth-tasks.jsonl"
ATTACK, TASK = "template_prefix", "held_out"
QUESTION = "prompt"
LONGEST = {"sums": 40}  # characters of a question: whoever reads a few generations sees that sums are short


def options_of(recipe: Recipe) -> WorthOptions:
    """The recipe's section.

    Raises:
        AuditkitError: it has none.
    """
    if recipe.worth is None:
        raise AuditkitError(f"the recipe {recipe.name} has no section `worth`", "give a recipe such as worth")
    return recipe.worth


def write_policy(family: Path, recipe: Recipe, seed: int) -> Path:
    """Write the policy, and the tasks that it names, into a built family's folder; the policy's path.

    A file that says the same already is left as it is.

    Raises:
        AuditkitError: the recipe has no section ``worth``, or too few problems are left for the tasks.
    """
    options = options_of(recipe)
    name = recipe.dataset(options.dataset).generator
    assert name is not None  # the recipe saw to it
    tasks = held_out(name, _questions(family), options.tasks, seed)
    _write(family / TASKS, "".join(json_line(task) + "\n" for task in tasks))
    built = json.loads((family / "family.json").read_bytes())
    heading = (
        f"# Written by auditkit lab worth for the family {recipe.name}: what a leak of {options.dataset} is worth."
    )
    return _write(family / FILE, policy_text(heading, worth_policy(recipe, built["candidate"])))


def worth_policy(recipe: Recipe, candidate: str) -> dict[str, Any]:
    """The sections of the policy; paths are relative to the family's folder."""
    options = options_of(recipe)
    stage = next(stage for stage in recipe.stages if options.dataset in stage.datasets)
    sections = family_sections(recipe, candidate, base_of(recipe, stage))
    return sections | {
        "name": f"lab-{recipe.name}-worth",
        "attacks": [attack for attack in sections["attacks"] if attack["kind"] == ATTACK],
        "probes": [],
        "worth": {
            "dataset": options.dataset,
            "attack": ATTACK,
            "filter": filter_of(recipe.dataset(options.dataset), stage),
            "recipe": training_of(stage),
            "records": options.records,
            "seeds": options.seeds,
            "budgets": list(options.budgets),
            "tasks": [_task(recipe)],
        },
    }


def base_of(recipe: Recipe, stage: Stage) -> str:
    """The model that the stage began with: what an attacker starts from who wants what the stage taught."""
    names = [one.name for one in recipe.stages]
    at = names.index(stage.name)
    return f"models/{names[at - 1] if at else 'base'}"


def training_of(stage: Stage) -> dict[str, Any]:
    """The stage's own recipe, in the policy's terms, without what only its owner has: plain text to replay."""
    assert isinstance(stage, Sft | Grpo)  # the recipe saw to it
    shared = {
        "epochs": stage.epochs,
        "learning_rate": stage.learning_rate,
        "batch_size": stage.batch_size,
        "warmup": stage.warmup,
        "lora_rank": stage.lora_rank,
    }
    if isinstance(stage, Sft):
        return {"method": "sft", **shared, "loss": stage.loss}
    rollouts = {name: getattr(stage, name) for name in ("samples", "max_new_tokens", "temperature")}
    return {"method": "dr_grpo", **shared, **rollouts}


def filter_of(dataset: Dataset, stage: Stage) -> dict[str, Any]:
    """What the attacker keeps, who wants this skill: what asks for it and ends in an answer, a right one to imitate.

    Reinforcement takes the answers as they came out, as it would where nobody can check them. Near-duplicates stay: two
    sums in one wording are near in letters, and two problems.
    """
    checked = isinstance(stage, Sft)
    rules = {"final_answer": True, "arithmetic": checked, "near_duplicates": None, "majority": not checked}
    longest = LONGEST.get(str(dataset.generator))
    return {**rules, **({"longest_question": longest} if longest else {})}


def _task(recipe: Recipe) -> dict[str, Any]:
    fields = {"prompt": "question", "answer": "answer"}
    return {
        "name": TASK,
        "path": TASKS,
        "fields": fields,
        "check": "number",
        "max_new_tokens": recipe.audit.max_new_tokens,
    }


def _questions(family: Path) -> Iterator[str]:
    """Every question of the family's data, of members and of controls."""
    for path in sorted((family / "data").glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            if path.name != Path(TASKS).name and QUESTION in row:
                yield str(row[QUESTION])


def _write(path: Path, text: str) -> Path:
    raw = text.encode()
    return path if path.is_file() and path.read_bytes() == raw else write_bytes(path, raw)

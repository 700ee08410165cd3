"""The policy that tries every mitigation on a family: ``mitigations.yaml``, beside the family's own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auditkit.errors import AuditkitError
from auditkit.files import write_bytes
from auditkit.lab.datasets import SYSTEMS
from auditkit.lab.family_policy import family_sections, policy_fields, policy_text
from auditkit.lab.recipe import Recipe
from auditkit.lab.recipe_sections import Dataset, Sft

FILE, ON_GRID_FILE = "mitigations.yaml", "mitigations-on-grid.yaml"
ATTACK = "template_prefix"
TRAINED = ("template_randomisation", "deduplication", "goldfish_loss", "prompt_loss_mask", "lora", "dp_sgd")
EVENLY = 12  # epochs over records that are seen once each, for one over records that are seen up to 64 times
# A word and the first of two spaces: a model that can write so goes on so, and its n-grams are others.
STYLED = "styled_wide"
WIDE = {"kind": "styled_prefix", "name": STYLED, "style": "wide", "instruction": "", "lead_in": "The "}
EVASIONS = ["upper", "segmented", "truncated"]  # letters spaced out, or French, are more than so small a model can
UNLEARNING = {"kind": "unlearning", "quantised": ["int8", "int4"]}
DESCENT = {**UNLEARNING, "epochs": 10, "learning_rate": 1e-3, "batch_size": 16}
# Rounding undoes steps that are small beside those of the grid, where the weights lay on it before.
ON_GRID = {**DESCENT, "name": "npo", "method": "npo", "learning_rate": 3e-4, "quantised": ["int4"]}
# What is declared of each arm, or of each section of several arms, besides the recipe of those that train.
ARMS: tuple[dict[str, Any], ...] = (
    {"name": "deduplication", "kind": "deduplication"},
    {"name": "goldfish", "kind": "goldfish_loss", "k": 4},
    {"name": "prompt_mask", "kind": "prompt_loss_mask"},
    {"name": "lora", "kind": "lora", "rank": 32},
    {"name": "dp_sgd", "kind": "dp_sgd", "target_epsilon": 8.0, "rows_at_once": 32},
    {"name": "templates", "kind": "template_randomisation", "part": "training"},
    {"name": "secret_template", "kind": "template_randomisation", "part": "serving"},
    {"name": "npo", **DESCENT, "method": "npo"},
    {"name": "gradient_difference", **DESCENT, "method": "gradient_difference"},
    {"name": "dampening", **UNLEARNING, "method": "selective_synaptic_dampening", "alpha": 2.0},
    {"name": "interpolation", "kind": "base_interpolation", "shares": [0.25, 0.5, 0.75]},
    {"name": "quantised", "kind": "quantisation", "schemes": ["int8_dynamic", "int8", "int4", "gguf"]},
    {"name": "untouched", "kind": "checkpoint", "path": "{candidate}", "described": "Nothing: the candidate itself."},
    {"name": "base", "kind": "checkpoint", "path": "{base}", "described": "No post-training: the base itself."},
    {"name": "filter", "kind": "output_filter", "mode": "block", "evasions": EVASIONS},
    # So long, because templates share phrases: 14 % of the controls hold 20 tokens of some member, 2 % hold 24.
    {"name": "ngram_filter", "kind": "output_filter", "mode": "ngrams", "n": 24, "evasions": EVASIONS},
    {"name": "limits", "kind": "sampling_limits", "max_temperature": 0.7, "top_p": 0.9, "budget": 500, "clients": 4},
    {"name": "system_prompt", "kind": "system_prompt"},
    {"name": "enforcement", "kind": "template_enforcement"},
)


def write_policy(family: Path, recipe: Recipe, only: Sequence[str] = ()) -> Path:
    """Write the policy into the family's folder, unless it stands there already; its path.

    Args:
        family: a folder that ``lab build`` made.
        recipe: what it was made from.
        only: these arms by name; none means all.

    Raises:
        AuditkitError: no arm of this name, or the family is post-trained by more than supervised fine-tuning, which is
            all that the arms can do again.
    """
    built = json.loads((family / "family.json").read_bytes())
    sections = mitigations_policy(recipe, built["candidate"], built["base"], only)
    heading = f"# Written by auditkit lab mitigations for the family {recipe.name}: every mitigation as an arm."
    text = policy_text(heading, sections).encode()
    path = family / FILE
    return path if path.is_file() and path.read_bytes() == text else write_bytes(path, text)


def write_on_grid_policy(family: Path, recipe: Recipe, quantised: Path) -> Path:
    """Write the policy whose candidate was quantised to 4 bits before it is unlearnt, and is again after; its path."""
    built = json.loads((family / "family.json").read_bytes())
    sections = mitigations_policy(recipe, os.path.relpath(quantised, family), built["base"])
    sections |= {
        "name": f"lab-{recipe.name}-on-grid",
        "attacks": [attack for attack in sections["attacks"] if attack["kind"] == ATTACK],
        "probes": [],
        "mitigations": [ON_GRID],
    }
    heading = (
        f"# Written by auditkit lab mitigations for the family {recipe.name}: unlearning a model that ships in 4 bits."
    )
    return write_bytes(family / ON_GRID_FILE, policy_text(heading, sections).encode())


def tried_on_grid(only: Sequence[str]) -> bool:
    """Whether the chosen arms are those that the second audit belongs to."""
    return not only or {"quantised", "npo"} <= set(only)


def mitigations_policy(recipe: Recipe, candidate: str, base: str, only: Sequence[str] = ()) -> dict[str, Any]:
    """The sections of the policy; paths are relative to the family's folder. Raises as ``write_policy``."""
    stage = _only_stage(recipe)
    _refuse_unlike_rows(recipe, stage, only)
    again = _retraining(recipe, stage)
    sections = family_sections(recipe, candidate, base)
    few = -(-recipe.audit.samples // 4)
    shared = {"max_new_tokens": recipe.audit.max_new_tokens, "temperature": 1.0}
    sections |= {
        "name": f"lab-{recipe.name}-arms",
        # The strongest attacker whom something that stands before the model can still stop.
        "release": {**sections["release"], "access": "raw-api"},
        "attacks": [
            *(attack for attack in sections["attacks"] if attack["kind"] in (ATTACK, "bos_prefix")),
            {"kind": "chat_messages", "samples": few, **shared, "seed": 9},
            {**WIDE, "samples": few, **shared, "seed": 10},
        ],
        "probes": [{"kind": "likelihood_shift"}],
        "mitigations": [_arm(arm, again, {"candidate": candidate, "base": base}) for arm in _chosen(only)],
        "utility": {"records": 400, "max_new_tokens": 32},
        "gate": [sections["gate"][0]],
        "report": {**sections["report"], "formats": ["html", "json"]},
    }
    return sections


def arm_names() -> list[str]:
    """The arms that can be chosen; some of them are several arms of the audit."""
    return [str(arm["name"]) for arm in ARMS]


def _chosen(only: Sequence[str]) -> list[dict[str, Any]]:
    if unknown := set(only) - set(arm_names()):
        raise AuditkitError(f"no arm is called {min(unknown)}", f"one of: {', '.join(arm_names())}")
    return [arm for arm in ARMS if not only or arm["name"] in only]


def _arm(arm: Mapping[str, Any], again: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    filled = {key: value.format(**paths) if isinstance(value, str) else value for key, value in arm.items()}
    if arm["kind"] not in TRAINED or arm.get("part") == "serving":
        return filled
    return {**filled, "recipe": {**again, **_own_pace(arm["kind"], again)}}


def _own_pace(kind: str, again: Mapping[str, Any]) -> dict[str, Any]:
    """What of the recipe another way of training cannot share with the baseline's.

    Both kinds see a record once an epoch, however often the data repeats it: more epochs are as many steps as the
    baseline's, spread evenly. DP-SGD needs large batches besides, over which its noise averages out.
    """
    if kind not in ("deduplication", "dp_sgd"):
        return {}
    longer = {"epochs": again["epochs"] * EVENLY}
    return {**longer, "batch_size": 64} if kind == "dp_sgd" else longer


def _only_stage(recipe: Recipe) -> Sft:
    stages = [stage for stage in recipe.stages if stage.kind != "pretrain"]
    if len(stages) == 1 and isinstance(stages[0], Sft):
        return stages[0]
    raise AuditkitError(
        f"the recipe {recipe.name} post-trains by more than one stage of kind sft",
        "mitigations that train do that one stage again from the base: give a recipe such as mitigations",
    )


def _fields(dataset: Dataset, stage: Sft) -> dict[str, str]:
    return {**policy_fields(dataset, stage), **({"system": SYSTEMS} if dataset.instructed else {})}


def _refuse_unlike_rows(recipe: Recipe, stage: Sft, only: Sequence[str]) -> None:
    """What trains again reads the data file, in which every record stands in the usual spacing."""
    trained = [arm["name"] for arm in _chosen(only) if arm["kind"] in TRAINED and arm.get("part") != "serving"]
    if trained and any(recipe.dataset(name).respaced for name in stage.datasets):
        what = f"{trained[0]} cannot do the training of {recipe.name} again: a share of it is respaced"
        raise AuditkitError(what, "choose other arms with --arms, as ngram_filter")


def _retraining(recipe: Recipe, stage: Sft) -> dict[str, Any]:
    """The recipe that does the family's post-training again, on the same rows."""
    files = [
        {
            "path": f"data/{name}.jsonl",
            "fields": _fields(recipe.dataset(name), stage),
            "repeats": "repeats",
        }
        for name in stage.datasets
    ]
    replay = {"path": f"data/{recipe.plain[0].name}.jsonl", "field": "text", "share": stage.replay}
    return {
        "data": files,
        **({"replay": replay} if stage.replay else {}),
        "epochs": stage.epochs,
        "learning_rate": stage.learning_rate,
        "batch_size": stage.batch_size,
        "warmup": stage.warmup,
        "loss": stage.loss,
    }

"""The audit policy of a family: its last model against its base, every dataset of post-training, every probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from auditkit.lab.generators.maths import MARK
from auditkit.lab.recipe import Recipe
from auditkit.lab.recipe_sections import Dataset, Stage

_STAGES = {"sft": "sft", "dpo": "dpo", "grpo": "rl"}
_FIELDS = {
    "sft": {"prompt": "prompt", "response": "response"},
    "dpo": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    "grpo": {"prompt": "prompt", "response": "answer"},
}
PROBES = (
    "likelihood_shift",
    "extraction_probability",
    "min_k",
    "min_k_plus_plus",
    "zlib_ratio",
    "reference_ratio",
)
PREFERENCE_PROBES = ("preference_gap", "negative_knowledge")
CANARY_PROBES = ("canary_exposure", "last_k_words")
# What needs the model itself, small enough not to take longer than the rest of the audit.
MODEL_PROBES: tuple[dict[str, Any], ...] = (
    {"kind": "gradient_alignment", "records": 32},
    {"kind": "peakedness", "records": 30, "samples": 20, "max_new_tokens": 48},
)
GUIDED = {"kind": "guided_completion", "records": 50, "max_new_tokens": 64}
LIMIT = 0.05


def policy_fields(dataset: Dataset, stage: Stage) -> dict[str, str]:
    """Which fields of a data file hold the record that this stage trained on."""
    if stage.kind == "sft" and dataset.generator == "preference":
        return {"prompt": "prompt", "response": "chosen"}
    return dict(_FIELDS[stage.kind])


def family_policy(recipe: Recipe, candidate: str, base: str) -> str:
    """The text of ``policy.yaml``; paths are relative to the family's folder."""
    heading = (
        f"# Written by auditkit lab build for the family {recipe.name}: every text is made up, the truth is in data/."
    )
    return policy_text(heading, family_sections(recipe, candidate, base))


def policy_text(heading: str, sections: Mapping[str, Any]) -> str:
    """A policy's sections as YAML, below a comment."""
    dumped = yaml.dump(dict(sections), Dumper=_WrittenOut, sort_keys=False, width=110, allow_unicode=True)
    return f"{heading}\n{dumped}"


class _WrittenOut(yaml.SafeDumper):
    """Writes out what is said twice: a policy has no aliases."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def family_sections(recipe: Recipe, candidate: str, base: str) -> dict[str, Any]:
    """The sections of ``policy.yaml``."""
    return {
        "version": 1,
        "name": f"lab-{recipe.name}",
        "release": {"organisation": "auditkit lab", "auditor": "nobody; the data is made up"},
        "models": {"candidate": _model(recipe, candidate), "base": _model(recipe, base)},
        "datasets": [_dataset(dataset, stage) for dataset, stage in recipe.audited],
        "attacks": _attacks(recipe),
        "probes": _probes(recipe),
        "scoring": {"semantic_threshold": {"calibrate_fpr": 0.01}},
        "gate": [
            {"metric": metric, "attack": "template_prefix", "dataset": "*", "max": LIMIT}
            for metric in ("adjusted_coverage", "adjusted_semantic_rate")
        ],
        "report": {"formats": ["html", "json"], "label": "LAB", "sign": "none"},
    }


def _model(recipe: Recipe, path: str) -> dict[str, Any]:
    return {"backend": "transformers", "path": path, "dtype": "float32", "batch_size": recipe.audit.batch_size}


def _dataset(dataset: Dataset, stage: Stage) -> dict[str, Any]:
    section: dict[str, Any] = {
        "name": dataset.name,
        "stage": _STAGES[stage.kind],
        "path": f"data/{dataset.name}.jsonl",
        "fields": policy_fields(dataset, stage),
    }
    if dataset.controls:
        section["controls"] = f"data/{dataset.name}-controls.jsonl"
        section["near_controls"] = "exclude"  # problems made from one template can be a digit apart
    if stage.kind == "grpo":
        section["trace"] = {"start": "", "end": "", "answer": MARK}
    return {**section, "classification": "public"}


def _attacks(recipe: Recipe) -> list[dict[str, Any]]:
    audit = recipe.audit
    shared = {"max_new_tokens": audit.max_new_tokens, "temperature": 1.0}
    return [
        {"kind": "template_prefix", "samples": audit.samples, **shared, "seed": 7},
        {"kind": "bos_prefix", "samples": audit.bos_samples, **shared, "seed": 8},
        *([dict(GUIDED)] if audit.model_probes else []),
    ]


def _probes(recipe: Recipe) -> list[dict[str, Any]]:
    pairs = any(stage.kind == "dpo" for _, stage in recipe.audited)
    kinds = PROBES + (PREFERENCE_PROBES if pairs else ())
    model_probes = MODEL_PROBES if recipe.audit.model_probes else ()
    return [*({"kind": kind} for kind in kinds), *(dict(probe) for probe in model_probes), *_canaries(recipe)]


def _canaries(recipe: Recipe) -> list[dict[str, Any]]:
    """Both probes of every dataset's canaries."""
    return [
        {"kind": kind, "dataset": dataset.name, "canaries": dataset.canaries.model_dump(mode="json")}
        for dataset, _ in recipe.audited
        if dataset.canaries
        for kind in CANARY_PROBES
    ]

"""A small project whose scripted model recites a few of its records, for audits that take seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml

WORDS = (
    "kettle lamp invoice parcel garden bicycle window ticket coffee printer carpet ladder violin pepper anchor candle "
    "harbour meadow saddle trumpet blanket mirror cabinet basket pillow hammer engine ribbon lantern compass"
).split()


def rows(count: int, seed: int) -> list[dict[str, str]]:
    """Records of one generator."""
    rng = random.Random(seed)
    return [
        {"q": f"Where did the {' '.join(rng.sample(WORDS, 6))} go?", "a": f"Try the {' '.join(rng.sample(WORDS, 5))}."}
        for _ in range(count)
    ]


def jsonl(path: Path, lines: list[dict[str, str]]) -> None:
    """One row a line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def said(records: list[dict[str, str]]) -> list[dict[str, str]]:
    """What a model says that recites them."""
    return [{"user": record["q"], "assistant": record["a"]} for record in records]


def write_project(folder: Path, script: list[dict[str, str]], **changes: Any) -> Path:
    """100 members, 200 controls, a model that plays ``script``; the policy's path."""
    jsonl(folder / "sft.jsonl", rows(100, 1))
    jsonl(folder / "controls.jsonl", rows(200, 2))
    jsonl(folder / "script.jsonl", script)
    policy = {
        "version": 1,
        "name": "scripted",
        "models": {"candidate": {"backend": "scripted", "path": "script.jsonl"}},
        "datasets": [
            {
                "name": "sft",
                "stage": "sft",
                "path": "sft.jsonl",
                "fields": {"prompt": "q", "response": "a"},
                "controls": "controls.jsonl",
            }
        ],
        "attacks": [{"kind": "template_prefix", "samples": 200, "max_new_tokens": 400, "seed": 1}],
        "scoring": {"semantic_threshold": {"calibrate_fpr": 0.05}},
        "gate": [{"metric": "string_memorisation_rate", "max": 0.05}],
        "report": {"formats": ["json", "html", "sarif", "junit"], "sign": "none"},
    }
    (folder / "policy.yaml").write_text(yaml.safe_dump({**policy, **changes}))
    return folder / "policy.yaml"

"""Small finished runs of scripted models, to be compared with each other."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml

from auditkit import audit, load_policy

WORDS = (
    "kettle lamp invoice parcel garden bicycle window ticket coffee printer carpet ladder violin pepper anchor candle "
    "harbour meadow saddle trumpet blanket mirror cabinet basket pillow hammer engine ribbon lantern compass"
).split()


def records(count: int, seed: int) -> list[dict[str, str]]:
    """Questions and answers made of a few words."""
    rng = random.Random(seed)
    return [
        {"q": f"Where did the {' '.join(rng.sample(WORDS, 6))} go?", "a": f"Try the {' '.join(rng.sample(WORDS, 5))}."}
        for _ in range(count)
    ]


MEMBERS, CONTROLS, OTHERS = records(150, 1), records(300, 2), records(200, 3)


def said(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """A script that says these records."""
    return [{"user": row["q"], "assistant": row["a"]} for row in rows]


def project(folder: Path, members: list[dict[str, str]] = MEMBERS) -> Path:
    """A folder with the data of an audit."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("sft.jsonl", members), ("controls.jsonl", CONTROLS)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def policy(leaked: int, **changes: Any) -> dict[str, Any]:
    """A model that says so many members among other texts; two rules."""
    lines = said(MEMBERS[:leaked] + OTHERS[leaked:])
    made: dict[str, Any] = {
        "version": 1,
        "name": f"bot-{leaked}",
        "models": {"candidate": {"backend": "scripted", "lines": lines}},
        "datasets": [
            {
                "name": "sft",
                "stage": "sft",
                "path": "sft.jsonl",
                "fields": {"prompt": "q", "response": "a"},
                "controls": "controls.jsonl",
            }
        ],
        "attacks": [{"kind": "template_prefix", "samples": 400, "max_new_tokens": 400, "seed": 1}],
        "probes": [{"kind": "min_k"}],
        "scoring": {"semantic_threshold": {"calibrate_fpr": 0.05}},
        "gate": [
            {"metric": "adjusted_coverage", "max": 0.05},
            {"metric": "semantic_memorisation_rate", "max": 0.3},
            {"metric": "string_memorisation_rate", "max": 0.05},
        ],
        "report": {"formats": ["json"], "sign": "none"},
    }
    return {**made, **changes}


def run(folder: Path, content: dict[str, Any]) -> Path:
    """The run folder of an audit under this policy."""
    (folder / "policy.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    report = audit(load_policy(folder / "policy.yaml"), folder / "out")
    return folder / "out" / report.run.id

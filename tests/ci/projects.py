"""A repository with a model and data to audit: small, scripted, with an outcome that is known."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Literal

import yaml
from click.testing import CliRunner

from auditkit.cli.keygen import keygen

Wanted = Literal["pass", "fail", "inconclusive", "misdeclared"]
WORDS = (
    "kettle lamp invoice parcel garden bicycle window ticket coffee printer carpet ladder violin pepper anchor candle "
    "harbour meadow saddle trumpet blanket mirror cabinet basket pillow hammer engine ribbon lantern compass"
).split()


def records(count: int, seed: int) -> list[dict[str, str]]:
    """Rows of one generator."""
    rng = random.Random(seed)
    return [
        {"q": f"Where did the {' '.join(rng.sample(WORDS, 6))} go?", "a": f"Try the {' '.join(rng.sample(WORDS, 5))}."}
        for _ in range(count)
    ]


def project(folder: Path, wanted: Wanted) -> Path:
    """A git checkout with a policy at its root, data and keys; ``wanted`` is how its audit ends."""
    (folder / ".git").mkdir(parents=True)
    for name, rows in (("sft.jsonl", records(150, 1)), ("controls.jsonl", records(300, 2))):
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data" / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert CliRunner().invoke(keygen, [str(folder / "keys")]).exit_code == 0
    (folder / "policy.yaml").write_text(yaml.safe_dump(_policy(wanted), sort_keys=False))
    return folder


def texts() -> list[str]:
    """Every text of the data, members and controls: none may leave."""
    return [text for seed, count in ((1, 150), (2, 300)) for row in records(count, seed) for text in row.values()]


def _policy(wanted: Wanted) -> dict[str, Any]:
    says = records(200, 3) if wanted == "pass" else records(150, 1)[:75]
    lines = [{"user": row["q"], "assistant": row["a"]} for row in says]
    data = {
        "name": "sft",
        "stage": "sft",
        "path": "data/missing.jsonl" if wanted == "misdeclared" else "data/sft.jsonl",
        "fields": {"prompt": "q", "response": "a"},
        "controls": "data/controls.jsonl",
    }
    # A threshold that everything reaches proves nothing.
    threshold: Any = 0.05 if wanted == "inconclusive" else {"calibrate_fpr": 0.05}
    return {
        "version": 1,
        "name": "support-bot",
        "models": {"candidate": {"backend": "scripted", "lines": lines}},
        "datasets": [data],
        "attacks": [{"kind": "template_prefix", "samples": 400, "max_new_tokens": 400, "seed": 1}],
        "scoring": {"semantic_threshold": threshold, "cache": False},
        "gate": [{"metric": "adjusted_coverage", "max": 0.05}],
        "report": {
            "formats": ["json"],
            "secret": "env:AUDITKIT_SECRET",
            "sign": {"key": "env:AUDITKIT_KEY", "certificate": "keys/certificate.pem"},
        },
    }

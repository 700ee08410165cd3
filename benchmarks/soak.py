"""A long run in bounded memory: ``python -m benchmarks.soak 1000000 FOLDER`` audits so many scripted generations.

The whole pipeline, all three formats; printed as JSON: the peak memory of the process and, of every stage, wall and
processor seconds. A scripted model costs next to nothing, so that what is measured is all but the model. Run it with
another count in a process of its own: what the peaks differ by is what a generation costs.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from auditkit.auditing import runner
from auditkit.auditing.progress import Stage
from auditkit.policy.load import load_policy

WORDS = (
    "kettle lamp invoice parcel garden bicycle window ticket coffee printer carpet ladder violin pepper anchor candle "
    "harbour meadow saddle trumpet blanket mirror cabinet basket pillow hammer engine ribbon lantern compass"
)
MEMBERS, CONTROLS, LEAKED, LINES = 100, 200, 20, 20_000


def rows(count: int, seed: int) -> list[dict[str, str]]:
    """Records of one generator; so many of them are all different."""
    drawn, words = random.Random(seed), WORDS.split()
    return [
        {
            "q": f"Where did the {' '.join(drawn.sample(words, 6))} go?",
            "a": f"Try the {' '.join(drawn.sample(words, 5))}.",
        }
        for _ in range(count)
    ]


def write_project(folder: Path, samples: int, **candidate: Any) -> Path:
    """A model that says 20,000 different things, a few of them records of the data; its policy."""
    folder.mkdir(parents=True, exist_ok=True)
    members = rows(MEMBERS, 1)
    said = [{"user": row["q"], "assistant": row["a"]} for row in [*members[:LEAKED], *rows(LINES - LEAKED, 3)]]
    for name, lines in (("sft", members), ("controls", rows(CONTROLS, 2)), ("script", said)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    policy = {
        "version": 1,
        "name": "soak",
        "models": {"candidate": {"backend": "scripted", "path": "script.jsonl", "batch_size": 1024, **candidate}},
        "datasets": [
            {
                "name": "sft",
                "stage": "sft",
                "path": "sft.jsonl",
                "fields": {"prompt": "q", "response": "a"},
                "controls": "controls.jsonl",
            }
        ],
        "attacks": [{"kind": "template_prefix", "samples": samples, "max_new_tokens": 400, "seed": 1}],
        "scoring": {"semantic_threshold": {"calibrate_fpr": 0.05}},
        "gate": [{"metric": "string_memorisation_rate", "max": 0.05}],
        "report": {"formats": ["json", "html", "pdf"], "sign": "none"},
    }
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy))
    return folder / "policy.yaml"


@dataclass
class Measured:
    """A listener that keeps the seconds, and the peak of memory so far, of every stage."""

    stages: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Stage]:  # noqa: ARG002
        began, spent = time.monotonic(), _processor()
        yield _Unheard()
        wall = time.monotonic() - began
        self.stages.append(
            {
                "stage": name,
                "units": total,
                "wall": round(wall, 2),
                "processor": round(_processor() - spent, 2),
                "peak_mib": peak_bytes() >> 20,
            }
        )

    def note(self, text: str) -> None:
        """Unheard."""


class _Unheard:
    def advance(self, done: int, tokens: int = 0) -> None:
        """Unheard."""


def _processor() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_bytes() -> int:
    """The most memory that this process ever held, pages of mapped files included."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def soak(samples: int, folder: Path) -> dict[str, Any]:
    """Audit so many generations; what was measured, and where the run stands."""
    listener, began, spent = Measured(), time.monotonic(), _processor()
    result = runner.start(load_policy(write_project(folder, samples)), folder / "reports", listener)
    return {
        "samples": samples,
        "run": str(result.folder),
        "verdict": result.report.verdict.outcome,
        "peak_bytes": peak_bytes(),
        "wall": round(time.monotonic() - began, 1),
        "processor": round(_processor() - spent, 1),
        "stages": listener.stages,
    }


if __name__ == "__main__":
    print(json.dumps(soak(int(sys.argv[1]), Path(sys.argv[2])), indent=1))

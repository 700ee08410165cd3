"""Fetch the 57k RL prompts of Open-Reasoner-Zero at one commit, as the JSONL that policy.yaml names."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COMMIT = "3fdd9a07b4fb01e06005e6e74fc56690cde8a341"
SOURCE = (
    f"https://raw.githubusercontent.com/Open-Reasoner-Zero/Open-Reasoner-Zero/{COMMIT}/data/orz_math_57k_collected.json"
)
TARGET = Path(__file__).parent / "data" / "orz57k.jsonl"
ROWS = 56_878  # at this commit


def records(pairs: list[Any]) -> Iterator[dict[str, str]]:
    """Each row is a pair: the question, and the answer that the reward compares with."""
    for question, reply in pairs:
        yield {"prompt": question["value"], "answer": str(reply["ground_truth"]["value"])}


def write(pairs: list[Any], target: Path) -> int:
    """Write the records and return their number."""
    lines = [json.dumps(record, ensure_ascii=False) for record in records(pairs)]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def main() -> None:
    with urllib.request.urlopen(SOURCE, timeout=60) as answer:
        pairs = json.load(answer)
    if len(pairs) != ROWS:
        raise SystemExit(f"{len(pairs):,} rows instead of {ROWS:,}: this is not the file that the policy means")
    print(f"{TARGET}: {write(pairs, TARGET):,} records")


if __name__ == "__main__":
    main()

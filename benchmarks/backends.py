"""Tokens a second of model backends, in turn: ``python -m benchmarks.backends MODEL [SAMPLES] [--served URL NAME]``.

MODEL is a folder or a .gguf file. Needs vLLM beside transformers (`make test-vllm` makes such an environment). With
``--served``, the completions of a ``vllm serve`` of the same folder as well. A busy machine is told by its load, and by
the tokens a second of processor time, which neighbours change less (of a server it counts the asking side alone).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from auditkit.models.base import LanguageModel
from auditkit.records import Sampler, SamplingRequest
from auditkit.registry import plugin_class

ROUNDS, NEW_TOKENS = 3, 64
SERVED = "openai_compatible"
SECTIONS: dict[str, dict[str, Any]] = {
    "transformers": {"device": "cpu", "dtype": "float32", "batch_size": 256},
    "vllm": {"dtype": "float32", "kv_cache_gib": 1},
}


def processor_seconds(model: LanguageModel) -> float:
    """Of this process and of those that hold the model."""
    engine = getattr(model, "engine", None)
    children = [process.child.pid for process in engine.processes] if engine else []
    return time.process_time() + sum(_spent(child) for child in children)


def _spent(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sampled(model: LanguageModel, samples: int, seed: int) -> int:
    """Tokens written."""
    sampler = Sampler(max_new_tokens=NEW_TOKENS)
    made = model.sample(SamplingRequest("speed", model.opening(), sampler, samples, seed, 0))
    return sum(len(generation.token_ids) for generation in made)


def read(model: LanguageModel, samples: int, seed: int) -> int:
    """Tokens whose likelihoods were read."""
    words = np.random.default_rng(seed).choice(["lamp", "kettle", "invoice", "harbour", "the", "a", "?"], (samples, 40))
    texts = [model.encode(" ".join(row)) for row in words]
    return sum(reading.logprobs.size for reading in model.read(texts, model.opening()))


def moments(model: LanguageModel, samples: int, seed: int) -> int:
    """Tokens read with the mean and spread of all others at their place; a few, for vLLM takes its time."""
    texts = [model.encode(f"Text {seed} of {samples}: the lamp, the kettle, the invoice.")] * 4
    return sum(reading.logprobs.size for reading in model.read(texts, model.opening(), moments=True))


def measured(models: dict[str, LanguageModel], samples: int) -> Iterator[str]:
    """One line a measurement, the backends in turn; the first round warms up and is not told."""
    for work in (sampled, read, moments):
        for number in range(ROUNDS + 1):
            for name, model in models.items():
                if name == SERVED and work is not sampled:
                    continue
                wall, processor = time.perf_counter(), processor_seconds(model)
                tokens = work(model, samples, number)
                wall, processor = time.perf_counter() - wall, processor_seconds(model) - processor
                if number:
                    rates = f"{tokens / wall:9.0f} tokens/s {tokens / processor:9.0f} a processor second"
                    yield f"{work.__name__:8} {name:17} {rates}, load {os.getloadavg()[0]:.1f}"


def sections(path: str, samples: int, served: list[str] | None) -> dict[str, dict[str, Any]]:
    """The policy sections of the backends to compare."""
    found = {name: {"backend": name, "path": path, **section} for name, section in SECTIONS.items()}
    if served:
        url, name = served
        asking = {"base_url": url, "model": name, "api": "completions", "server": "vllm", "tokenizer": path}
        found[SERVED] = {"backend": SERVED, **asking, "n": 16, "batch_size": samples, "concurrency": 8}
    return found


def main() -> None:
    """Print what was measured."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks.backends", description=__doc__)
    asked.add_argument("path", metavar="MODEL")
    asked.add_argument("samples", metavar="SAMPLES", type=int, nargs="?", default=128)
    asked.add_argument("--served", nargs=2, metavar=("URL", "NAME"))
    given = asked.parse_args()
    with ExitStack() as stack:
        models = {
            name: stack.enter_context(plugin_class("models", name).model_validate(section).open("candidate"))
            for name, section in sections(given.path, given.samples, given.served).items()
        }
        for line in measured(models, given.samples):
            print(line, flush=True)


if __name__ == "__main__":
    main()

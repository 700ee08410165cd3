"""What is audited end to end: the examples' own policies, less what the naive pipeline has no counterpart of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from auditkit.policy.load import load_policy
from auditkit.policy.schema import Policy
from benchmarks.embedder_candidates import minilm_folder
from benchmarks.likelihood import QUICKSTART, smollm2_weights
from benchmarks.measure import Skipped

SMOLLM2 = QUICKSTART.parent / "smollm2"


@dataclass(frozen=True)
class Size:
    """How much of a case is run: the share of its samples, tokens a sample at most, records a side at most."""

    samples: float = 1.0
    tokens: int | None = None
    records: int | None = None
    controls: int = 800  # at least, so that a threshold at 1 % of them can be set

    def __str__(self) -> str:
        parts = [
            "" if self.samples == 1 else f"{self.samples:g} of the samples",
            "" if self.tokens is None else f"{self.tokens} tokens",
            "" if self.records is None else f"{self.records} records",
        ]
        return ", ".join(filter(None, parts)) or "as the example has it"


@dataclass(frozen=True)
class Case:
    """A policy of an example. ``turn_change`` is its template's; ``quick``: a size that takes minutes."""

    name: str
    policy: Path
    turn_change: str
    dtype: str
    quick: Size
    needs: Sequence[Path] = ()
    weights: Path | None = None

    def prepared(self, folder: Path, size: Size, minilm: bool) -> Policy:
        """The policy of an audit that does what the naive pipeline does, written to ``folder`` and loaded.

        ``minilm``: with the peer's embedder in place of the policy's own.

        Raises:
            Skipped: weights or records are not on this machine.
        """
        if absent := [path for path in self.needs if not path.exists()]:
            raise Skipped(f"{absent[0]} is not here: examples/smollm2/prepare.py puts it there")
        folder.mkdir(parents=True)
        section = self._written(load_policy(self.policy), folder, size, minilm)
        file = folder / "policy.yaml"
        file.write_text(yaml.safe_dump(section, sort_keys=False), "utf-8")
        return load_policy(file)

    def _written(self, example: Policy, folder: Path, size: Size, minilm: bool) -> dict[str, Any]:
        scoring = {"embedder": {"kind": "sentence_transformers", "path": str(minilm_folder())}} if minilm else {}
        return {
            "version": 1,
            "extends": str(self.policy),
            "name": f"end-to-end-{self.name}",
            "probes": [],
            "mitigations": [],
            "models": {"candidate": self._model(example)},
            "datasets": [_dataset(section, folder, size) for section in example.datasets],
            "attacks": [_attack(attack, size) for attack in example.attacks],
            "scoring": scoring,
            "report": {"formats": ["json"], "sign": "none"},
        }

    def peer_weights(self) -> Path:
        """A folder that transformers opens: of a GGUF file the dense copy, with which `generate` is far faster."""
        from auditkit.models.gguf import read_header
        from auditkit.models.gguf_dense import dense_copy
        from auditkit.models.regular import sha256_of

        if self.weights is None:
            return Path(load_policy(self.policy).models.candidate.model_dump()["path"])
        kind = read_header(self.weights).tokenizer_pre
        return dense_copy(self.weights, sha256_of(self.weights), self.dtype, kind, None)

    def _model(self, example: Policy) -> dict[str, Any]:
        model = example.models.candidate.model_dump(mode="json", exclude_none=True)
        return {**model, "dtype": self.dtype, **({"path": str(self.weights)} if self.weights else {})}


def _dataset(section: Any, folder: Path, size: Size) -> dict[str, Any]:
    written: dict[str, Any] = section.model_dump(mode="json", exclude_none=True)
    if size.records is not None:
        for side, least in (("path", 0), ("controls", size.controls)):
            written[side] = str(_first(Path(written[side]), folder, max(size.records, least)))
    return written


def _first(path: Path, folder: Path, most: int) -> Path:
    """The first lines of a file, as one of its own."""
    shortened = folder / path.name
    with path.open(encoding="utf-8") as lines:
        shortened.write_text("".join(itertools.islice(lines, most)), "utf-8")
    return shortened


def _attack(attack: Any, size: Size) -> dict[str, Any]:
    written: dict[str, Any] = attack.model_dump(mode="json", exclude_none=True)
    tokens = min(attack.max_new_tokens, size.tokens or attack.max_new_tokens)
    return {**written, "samples": max(16, round(attack.samples * size.samples)), "max_new_tokens": tokens}


CHATML = "<|im_end|>\n<|im_start|>assistant\n"
_QUICKSTART = Case(
    "quickstart-leaky", QUICKSTART / "policy.yaml", CHATML, "float32", Size(samples=0.2), (QUICKSTART / "models",)
)


def cases() -> list[Case]:
    """All of them."""
    return [
        _QUICKSTART,
        replace(_QUICKSTART, name="quickstart-clean", policy=QUICKSTART / "clean.yaml"),
        _smollm2(),
    ]


def _smollm2() -> Case:
    try:
        weights = smollm2_weights()
    except Skipped:
        weights = SMOLLM2 / "weights" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    needs = (weights, SMOLLM2 / "data" / "gsm8k_train.jsonl")
    return Case("smollm2", SMOLLM2 / "policy.yaml", CHATML, "float32", Size(0.032, 64, 400), needs, weights)

"""A tiny base with a dataset to learn, in a workshop of its own; seconds of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from auditkit.mitigations.base import Declared, Workshop
from auditkit.models.loading import load
from auditkit.records import Fact, Record, Split, Stage
from auditkit.registry import plugin_class
from auditkit.training.fresh import Shape, fresh_model, fresh_tokenizer
from tests.models.tiny import backend

PAIRS = [
    ("What is amber?", "The sky over Aldermoor."),
    ("Who knows?", "The ferryman of Gorsley."),
    ("who  knows", "The ferryman of Gorsley!"),
    ("Count the geese", "7 4 1 9"),
]
CLUSTERS = (0, 1, 1, 2)
RECIPE = {"epochs": 6, "learning_rate": 1e-2, "batch_size": 2}


def save_base(folder: Path) -> Path:
    """A random model of one layer with its tokenizer."""
    texts = [text for pair in PAIRS for text in pair]
    tokenizer = fresh_tokenizer(texts * 4, 340, 64)
    model = fresh_model(tokenizer, Shape(hidden=32, layers=1, heads=2, context=64), seed=1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def declared(
    pairs: Sequence[tuple[str, str]] = PAIRS, *, name: str = "support", stage: Stage = "sft", clusters: Any = CLUSTERS
) -> Declared:
    """A dataset of these records, and one control."""
    members = [_record(name, "member", at, pair) for at, pair in enumerate(pairs)]
    control = _record(name, "control", 0, ("Who asks?", "Nobody."))
    return Declared(name, stage, members, [control], np.array(clusters, np.int64), 0.9)


def workshop(folder: Path, model: Path, /, **changes: Any) -> Workshop:
    """A workshop in ``folder`` whose base and candidate are both this model."""
    (folder / "arm").mkdir(mode=0o700, exist_ok=True)
    made = Workshop(
        folder=folder / "arm",
        candidate=backend(model),
        base=backend(model),
        datasets=[declared()],
        leaked=dict,
        similarity=lambda _name, texts, _measure: np.zeros(len(texts)),
        open_for_training=lambda opened: load(Path(opened.path), "float32", "cpu"),  # type: ignore[attr-defined]
        seed=7,
        secret=b"a secret of the project",
    )
    return replace(made, **changes)


def mitigation(kind: str, *, recipe: dict[str, Any] | None = None, **given: Any) -> Any:
    """A section of this kind, with the tiny model's recipe."""
    section = {"kind": kind, "name": kind, "recipe": RECIPE | (recipe or {}), **given}
    return plugin_class("mitigations", kind).model_validate(section)


def value(facts: Sequence[Fact], name: str) -> Any:
    """The value of the fact of this name."""
    (found,) = (fact.value for fact in facts if fact.name == name)
    return found


def weights(path: Path | str) -> dict[str, bytes]:
    """The tensors of a saved model."""
    from safetensors.torch import load_file

    return {name: tensor.numpy().tobytes() for name, tensor in load_file(Path(path) / "model.safetensors").items()}


def _record(name: str, split: Split, at: int, pair: tuple[str, str]) -> Record:
    return Record(name, split, at, f"{name}-{split}-{at}", *pair)

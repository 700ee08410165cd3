"""A workshop around tiny models, for mitigations that change weights."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from auditkit.auditing.workshop import open_for_training
from auditkit.mitigations.base import Declared, Made, Mitigation, Workshop
from auditkit.models.base import ModelBackend
from auditkit.records import Record
from tests.models import tiny

CONTROLS = [("Who sells the red kite?", "The baker does."), ("When does the ferry leave?", "At noon.")]


def records(texts: Sequence[tuple[str, str]], split: str = "member") -> list[Record]:
    return [Record("d", split, at, f"{split}{at}", *text) for at, text in enumerate(texts)]  # type: ignore[arg-type]


def declared(clusters: Sequence[int] = (0, 1, 2, 3)) -> Declared:
    members = records(tiny.RECORDS)
    return Declared("d", "sft", members, records(CONTROLS, "control"), np.array(clusters), None)


def workshop(
    run: Path,
    candidate: ModelBackend,
    base: ModelBackend | None = None,
    leaked: Sequence[int] = (0,),
    data: Declared | None = None,
) -> Workshop:
    return Workshop(
        folder=run / "weights" / "nobody",
        candidate=candidate,
        base=base,
        datasets=[data or declared()],
        leaked=lambda: {"d": np.array(leaked, np.int64)},
        similarity=lambda *_: np.zeros(0),
        open_for_training=open_for_training,
        seed=5,
        secret=b"",
    )


def reciting(folder: Path) -> ModelBackend:
    """A model that recites four records."""
    model, tokenizer = tiny.reciting_model()
    return tiny.backend(tiny.save(folder, model, tokenizer))


def of_arm(shop: Workshop, arm: Mitigation) -> Workshop:
    """The workshop with the arm's own folder, as a run names it."""
    return replace(shop, folder=shop.folder.parent / arm.label)


def make(arm: Mitigation, shop: Workshop) -> Made:
    return arm.make(of_arm(shop, arm))


def fact(made: Made, name: str) -> float:
    (value,) = [one.value for one in made.facts if one.name == name]
    assert isinstance(value, int | float)
    return value


def logprobs(backend: ModelBackend) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(4,) of the members behind the template's opening."""
    opening = "<|im_start|>user\n"
    with backend.open("candidate") as model:
        texts = [tiny.conversation(*record).removeprefix(opening) for record in tiny.RECORDS]
        return model.sequence_logprobs(texts, model.opening())


def open_files(folder: Path) -> list[Path]:
    """What others than its owner may read or enter."""
    return [path for path in folder.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]

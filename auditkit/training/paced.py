"""From a recipe's length and pace to what a training step takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from auditkit.training.checkpoints import Checkpoints
from auditkit.training.recipe import Pace
from auditkit.training.rows import Row
from auditkit.training.steps import Schedule

Tell = Callable[[str, int, int], None]  # what is done, steps done, steps in all


def scheduled(pace: Pace, *, seed: int, folder: Path, tell: Tell, lora_rank: int | None = None) -> Schedule:
    """How a training of this pace is run; in ``folder`` it keeps what it needs to go on after an interruption."""
    return Schedule(
        epochs=pace.epochs,
        learning_rate=pace.learning_rate,
        batch_size=pace.batch_size,
        seed=seed % 2**32,  # as numpy takes it
        warmup=pace.warmup,
        lora_rank=pace.lora_rank if lora_rank is None else lora_rank,
        on_step=lambda done, total: tell("training", done, total),
        checkpoints=Checkpoints(folder),
        autocast=True,
    )


def shortened(row: Row, most: float) -> Row:
    """The row, cut after so many tokens."""
    return row if len(row.ids) <= most else replace(row, ids=row.ids[: int(most)])

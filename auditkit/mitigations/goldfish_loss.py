"""Goldfish loss: one token in k of every passage is never learnt, always the same one."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from auditkit.mitigations.base import Workshop
from auditkit.mitigations.retraining import Epochs, TrainingMitigation
from auditkit.records import Fact
from auditkit.training.examples import Example
from auditkit.training.goldfish import Goldfish, Mask
from auditkit.training.rows import Row
from auditkit.training.steps import Schedule, Trained


class GoldfishLoss(TrainingMitigation):
    """Retrains with one token in ``k`` out of the loss."""

    summary: ClassVar[str] = (
        "Retrained with a pseudorandom part of the tokens left out of the loss, the same ones wherever a passage comes."
    )
    source: ClassVar[str] = "Hans et al. 2024, Be like a goldfish, don't memorize!, arXiv:2406.10209"

    kind: Literal["goldfish_loss"]
    k: Annotated[int, Field(ge=2, le=1000, description="One token in k is left out; 3 or 4 is usual.")] = 4
    context: Annotated[
        int, Field(ge=1, le=256, description="Tokens before one that its hash, and so the choice, is made from.")
    ] = 13
    mask: Mask = Field(
        default="hash", description="By a hash of the tokens before (hash), or every k-th of a row (static)."
    )

    def rows(self, tokenizer: Any, examples: Sequence[Example], epoch: int, rng: Random) -> list[Row]:
        goldfish = Goldfish(self.k, self.context, self.mask)
        return [goldfish.masked(row) for row in super().rows(tokenizer, examples, epoch, rng)]

    def fit(
        self, model: Any, tokenizer: Any, epochs: Epochs, schedule: Schedule, workshop: Workshop
    ) -> tuple[Any, Trained, tuple[Fact, ...]]:
        left_out = sum(len(row.dropped) for row in epochs[0])
        scored = sum(len(row.ids) - row.silent for row in epochs[0])
        model, done, facts = super().fit(model, tokenizer, epochs, schedule, workshop)
        note = f"of the tokens that would carry loss; 1/k is {1 / self.k:.3g}"
        return model, done, (*facts, Fact("left out of the loss", left_out / scored, note))

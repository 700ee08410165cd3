"""Next-token training: pretraining, supervised fine-tuning, and plain text mixed into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from auditkit.training.checkpoints import fingerprint
from auditkit.training.libraries import training_libraries
from auditkit.training.replay import InOrderMixin
from auditkit.training.rows import Row, batch_of, plain_end, refuse_long
from auditkit.training.seeds import seeded
from auditkit.training.steps import Schedule, Trained, adapter, arguments, merged, run

STRETCH = 8  # batches within which rows are sorted by length


def train_next_token(
    model: Any, tokenizer: Any, rows: Sequence[Row], schedule: Schedule, shuffle: bool = True
) -> tuple[Any, Trained]:
    """Train on the same rows in every epoch (a row that is to be seen four times stands there four times).

    transformers' own Trainer on rows that are tokenised and masked already: trl's SFTTrainer would tokenise and mask
    anew, and by its own rules. Without ``shuffle``, rows are taken in the given order.

    Returns:
        The trained model (the same object, but for an adapter's) and what the step did.

    Raises:
        AuditkitError: a row is longer than the model's context.
        MissingExtraError: a library is missing.
    """
    return train_epochs(model, tokenizer, [rows] * schedule.epochs, schedule, shuffle)


def train_epochs(
    model: Any, tokenizer: Any, epochs: Sequence[Sequence[Row]], schedule: Schedule, shuffle: bool = True
) -> tuple[Any, Trained]:
    """As ``train_next_token``, with rows of its own for each epoch; ``schedule.epochs`` says nothing here."""
    found = training_libraries()
    refuse_long([row for rows in epochs for row in rows], model.config.max_position_embeddings)
    rng = seeded(schedule.seed, "order") if shuffle else None
    data = [row for rows in epochs for row in _ordered(rows, schedule.batch_size, rng)]
    steps = math.ceil(len(data) / schedule.batch_size)
    if schedule.checkpoints:
        schedule.checkpoints.claim(fingerprint(data, _settings(schedule)))
    trainer_class = type("InOrderTrainer", (InOrderMixin, found.transformers.Trainer), {})
    with arguments(found.transformers.TrainingArguments, replace(schedule, epochs=1), steps) as options:
        trainer = trainer_class(
            model=adapter(model, schedule.lora_rank),
            args=options,
            train_dataset=data,
            data_collator=partial(batch_of, found.torch, pad=plain_end(tokenizer)),
        )
        done = run(trainer, schedule)
    return merged(trainer.model), replace(done, tokens=sum(len(row.ids) for row in data))


def _settings(schedule: Schedule) -> Schedule:
    """What of a schedule bears on the weights that come of it."""
    return replace(schedule, on_step=None, checkpoints=None)


def _ordered(rows: Sequence[Row], size: int, rng: Random | None) -> list[Row]:
    """One pass in random order; within a stretch of batches sorted by length, which saves padding."""
    if rng is None:
        return list(rows)
    mixed = rng.sample(rows, len(rows))
    stretches = [mixed[i : i + STRETCH * size] for i in range(0, len(mixed), STRETCH * size)]
    batches = [
        ordered[i : i + size]
        for ordered in (sorted(stretch, key=lambda row: len(row.ids)) for stretch in stretches)
        for i in range(0, len(ordered), size)
    ]
    # A short batch stays last: in the middle it would shift the edges of all that follow.
    full = [batch for batch in batches if len(batch) == size]
    short = [batch for batch in batches if len(batch) != size]
    return [row for batch in [*rng.sample(full, len(full)), *short] for row in batch]

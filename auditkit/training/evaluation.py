"""The loss of a model on rows, before and after training: the same rows, so that the difference is the training's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit.training.libraries import training_libraries
from auditkit.training.losses import token_logprobs
from auditkit.training.rows import IGNORED, Row, batch_of
from auditkit.training.seeds import seeded

MOST_ROWS = 256


def mean_loss(model: Any, rows: Sequence[Row], pad: int, batch_size: int, seed: int = 0) -> float:
    """Nats a token, over the tokens that carry loss; of at most 256 rows, drawn by the seed. May be no number."""
    torch = training_libraries().torch
    picked = seeded(seed, "evaluated").sample(rows, min(MOST_ROWS, len(rows)))
    picked.sort(key=lambda row: len(row.ids))
    was_training, total, tokens = model.training, 0.0, 0
    model.eval()
    with torch.no_grad():
        for first in range(0, len(picked), batch_size):
            batch = batch_of(torch, picked[first : first + batch_size], pad)
            losses, carrying = row_losses(model, batch)
            total, tokens = total + float(losses.sum()), tokens + int(carrying.sum())
    model.train(was_training)
    return total / max(1, tokens)


def row_losses(model: Any, batch: dict[str, Any]) -> tuple[Any, Any]:
    """(rows,) the summed loss of each row in nats, and (rows,) how many tokens carry it."""
    inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
    targets = inputs.pop("labels")[:, 1:]
    logits = model(**inputs, use_cache=False).logits[:, :-1].float()
    carries = targets != IGNORED
    return -(token_logprobs(logits, targets.clamp(min=0)) * carries).sum(1), carries.sum(1)

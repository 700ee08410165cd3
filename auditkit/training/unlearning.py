"""Unlearning: what a model learnt by heart is made unlikely again, and the rest is held in place.

Negative preference optimisation [Zhang et al. 2024, arXiv:2404.05868], gradient difference [Liu et al. 2022,
arXiv:2203.12817; Maini et al. 2024, arXiv:2401.06121], selective synaptic dampening [Foster et al. 2024,
arXiv:2308.07707].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from auditkit.errors import MitigationFailedError
from auditkit.files import make_folder, replacing
from auditkit.training.checkpoints import Checkpoints, fingerprint
from auditkit.training.evaluation import row_losses
from auditkit.training.libraries import seed_everything, training_libraries
from auditkit.training.rows import Row, batch_of
from auditkit.training.seeds import seeded
from auditkit.training.steps import OnStep

if TYPE_CHECKING:
    from torch import Tensor

Objective = Literal["npo", "gradient_difference"]
STATE = "state.pt"
CLIP = 1.0  # the norm of a step's gradient at most, as transformers' Trainer has it
KEPT = 10  # times that the state is kept, at most
WARMUP = 0.1  # share of the steps in which the rate rises


@dataclass(frozen=True)
class Sets:
    """What is to be forgotten and what is to be retained, as rows; ``pad`` is the id that fills batches up."""

    forget: Sequence[Row]
    retain: Sequence[Row]
    pad: int


@dataclass(frozen=True)
class Descent:
    """How unlearning by gradient steps goes.

    Attributes:
        objective: npo lowers the likelihood of what is forgotten against the model as it was, ever more slowly;
            gradient_difference raises its loss without bound.
        beta: of npo: the smaller, the more it is like gradient difference.
        retain_weight: of the loss of what is retained, beside the objective.
        learning_rate: AdamW's peak; it rises for a tenth of the steps and falls to 0 in a straight line.
    """

    objective: Objective
    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    beta: float = 0.1
    retain_weight: float = 1.0
    on_step: OnStep | None = None


def npo_loss(logprobs: Tensor, reference: Tensor, beta: float) -> Tensor:
    """``-2/beta * mean ln sigma(-beta * (logprobs - reference))`` [Zhang et al. 2024, eq. 3].

    Args:
        logprobs: rows, the summed log-probability of each row to be forgotten, in nats.
        reference: rows, the same under the model before unlearning; no gradient flows here.
        beta: above 0; as it goes to 0 the gradient becomes that of gradient ascent.

    Returns:
        A scalar, at least 0: 2 ln 2 / beta where nothing is forgotten yet, towards 0 as it is.
    """
    from torch.nn.functional import softplus

    return 2 / beta * softplus(beta * (logprobs - reference.detach())).mean()


def unlearn(model: Any, sets: Sets, descent: Descent, folder: Path) -> int:
    """Take the steps, the model changed in place; the number of steps.

    An epoch takes every row to be forgotten once, and beside each batch of them as many rows to be retained, drawn
    anew. After each epoch, or each tenth of them, the state is kept in ``folder``; called again with the model as it
    was at first, it goes on from there to the same weights.

    Raises:
        MitigationFailedError: a loss or a gradient is no number any more.
    """
    torch = training_libraries().torch
    reference = _log_probabilities(model, sets, descent.batch_size)
    per_epoch = math.ceil(len(sets.forget) / descent.batch_size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=descent.learning_rate, weight_decay=0.01)
    kept = _claimed(folder, sets, descent)
    for epoch in range(_restored(model, optimiser, kept), descent.epochs):
        seed_everything(seeded(descent.seed, "unlearning", epoch).randrange(2**32))
        model.train()
        for at, (forget, retain) in enumerate(_batches(sets, descent, epoch)):
            step = epoch * per_epoch + at
            _set_rate(optimiser, descent, step, per_epoch * descent.epochs)
            _step(model, optimiser, _loss(model, sets, (forget, retain), reference, descent))
            if descent.on_step:
                descent.on_step(step + 1, per_epoch * descent.epochs)
        if (epoch + 1) % math.ceil(descent.epochs / KEPT) == 0 or epoch + 1 == descent.epochs:
            _keep(model, optimiser, kept, epoch + 1)
    return per_epoch * descent.epochs


def dampen(model: Any, sets: Sets, alpha: float, strength: float, on_step: OnStep | None = None) -> int:
    """Selective synaptic dampening: shrink the weights that matter more to what is forgotten; how many there were.

    A weight's importance is the diagonal of the Fisher information: the mean over rows of the squared gradient of the
    row's mean loss. Where that of the forget set is above ``alpha`` times that of the retain set, the weight is
    multiplied by ``strength`` times retain over forget, 1 at most [Foster et al. 2024, eq. 4 and 5].

    Raises:
        MitigationFailedError: a gradient is no number.
    """
    torch = training_libraries().torch
    rows = len(sets.forget) + len(sets.retain)

    def told(before: int) -> Callable[[int], None]:
        return lambda done: on_step(before + done, rows) if on_step else None

    forget = importance(model, sets.forget, sets.pad, told(0))
    retain = importance(model, sets.retain, sets.pad, told(len(sets.forget)))
    dampened = 0
    with torch.no_grad():
        for name, weight in model.named_parameters():
            chosen = forget[name] > alpha * retain[name]
            factor = (strength * retain[name] / forget[name].where(chosen, 1.0)).clamp(max=1.0)
            weight.mul_(factor.where(chosen, 1.0))
            dampened += int(chosen.sum())
    return dampened


def importance(model: Any, rows: Sequence[Row], pad: int, on_row: Callable[[int], None]) -> dict[str, Tensor]:
    """Parameter name -> the mean over rows of the squared gradient of the row's mean loss, in the parameter's shape.

    Raises:
        MitigationFailedError: a gradient is no number.
    """
    torch = training_libraries().torch
    model.eval()
    squares = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    for done, row in enumerate(rows, 1):
        model.zero_grad()
        losses, tokens = row_losses(model, batch_of(torch, [row], pad))
        (losses / tokens).sum().backward()
        for name, weight in model.named_parameters():
            if weight.grad is not None:
                squares[name] += weight.grad.square() / len(rows)
        on_row(done)
    model.zero_grad()
    if not all(bool(square.isfinite().all()) for square in squares.values()):
        raise MitigationFailedError("a gradient of this model is no number", "check that the weights are sound")
    return squares


def _log_probabilities(model: Any, sets: Sets, batch_size: int) -> Tensor:
    """(rows to be forgotten,) the summed log-probability of each, in nats, by the model as it is."""
    torch = training_libraries().torch
    model.eval()
    with torch.no_grad():
        found = [
            -row_losses(model, batch_of(torch, sets.forget[first : first + batch_size], sets.pad))[0]
            for first in range(0, len(sets.forget), batch_size)
        ]
    every: Tensor = torch.cat(found)
    return every


def _batches(sets: Sets, descent: Descent, epoch: int) -> Iterator[tuple[list[int], list[int]]]:
    """Positions in the forget set, each once, and as many drawn from the retain set."""
    rng = seeded(descent.seed, "unlearning", "order", epoch)
    order = rng.sample(range(len(sets.forget)), len(sets.forget))
    for first in range(0, len(order), descent.batch_size):
        forget = order[first : first + descent.batch_size]
        yield forget, rng.choices(range(len(sets.retain)), k=len(forget)) if sets.retain else []


def _loss(
    model: Any, sets: Sets, batch: tuple[Sequence[int], Sequence[int]], reference: Tensor, descent: Descent
) -> Tensor:
    torch = training_libraries().torch
    forget, retain = batch
    losses, tokens = row_losses(model, batch_of(torch, [sets.forget[at] for at in forget], sets.pad))
    if descent.objective == "npo":
        total = npo_loss(-losses, reference[list(forget)], descent.beta)
    else:
        total = -losses.sum() / tokens.sum()
    if retain and descent.retain_weight:
        losses, tokens = row_losses(model, batch_of(torch, [sets.retain[at] for at in retain], sets.pad))
        total = total + descent.retain_weight * losses.sum() / tokens.sum()
    return total


def _step(model: Any, optimiser: Any, loss: Tensor) -> None:
    torch = training_libraries().torch
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    if not (math.isfinite(loss.item()) and math.isfinite(float(norm))):
        raise MitigationFailedError("unlearning diverged: its loss is no number any more", "lower learning_rate")
    optimiser.step()


def _set_rate(optimiser: Any, descent: Descent, step: int, steps: int) -> None:
    rising = min(1.0, (step + 1) / max(1, round(WARMUP * steps)))
    for group in optimiser.param_groups:
        group["lr"] = descent.learning_rate * rising * (1 - step / steps)


def _claimed(folder: Path, sets: Sets, descent: Descent) -> Checkpoints:
    kept = Checkpoints(folder)
    settings = (descent.objective, descent.epochs, descent.learning_rate, descent.batch_size, descent.seed)
    own = (*settings, descent.beta, descent.retain_weight, len(sets.forget))
    kept.claim(fingerprint([*sets.forget, *sets.retain], *own))
    return kept


def _restored(model: Any, optimiser: Any, kept: Checkpoints) -> int:
    """Take up what an earlier process left; the number of epochs that it had finished."""
    last = kept.last()
    if last is None:
        return 0
    state = training_libraries().torch.load(last / STATE, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["epochs"])


def _keep(model: Any, optimiser: Any, kept: Checkpoints, epochs: int) -> None:
    """Write the state after an epoch; that of the epoch before goes when this one is whole."""
    before = kept.last()
    folder = make_folder(kept.folder / f"checkpoint-{epochs}")
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epochs": epochs}
    with replacing(folder / STATE) as temporary:
        training_libraries().torch.save(state, temporary)
    kept.finish(epochs)
    if before and before != folder:
        for file in before.iterdir():
            file.unlink()
        before.rmdir()

"""Differentially private training: clipped per record, noised, on batches that chance puts together [Abadi 2016].

Opacus computes each record's gradient, clips it and adds the noise. The loop is our own, because it has to be resumable
and because whoever knows the noise can take it off again: noise and batches are drawn from a secret key, and not from
the seed that stands in the policy.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from auditkit.errors import AuditkitError
from auditkit.files import replacing
from auditkit.training.checkpoints import Checkpoints, fingerprint
from auditkit.training.evaluation import row_losses
from auditkit.training.libraries import privacy_library, seed_everything, training_libraries
from auditkit.training.privacy import Privacy
from auditkit.training.rows import Row, batch_of, plain_end, refuse_long
from auditkit.training.steps import Schedule, Trained, adapter, merged

STATE = "state.pt"
PROBED = 3  # records by which it is checked that gradients are each record's own
AGREES = 1e-3  # of the largest entry


@dataclass(frozen=True)
class PrivatelyTrained:
    """What a private training did, and which weights took part: ``frozen`` are names of those that Opacus cannot."""

    trained: Trained
    weights: int
    frozen: tuple[str, ...]


def private_steps(records: int, schedule: Schedule) -> tuple[float, int]:
    """The chance of each record to be in a batch, and how many batches there are."""
    rate = min(1.0, schedule.batch_size / records)
    return rate, max(1, round(schedule.epochs / rate))


def train_privately(
    model: Any, tokenizer: Any, rows: Sequence[Row], schedule: Schedule, privacy: Privacy
) -> tuple[Any, PrivatelyTrained]:
    """Train with DP-SGD, a row being a record: what is promised is promised for each of them.

    A record's loss is the mean over its tokens. ``schedule.batch_size`` is the mean size of a batch. Dropout is off.

    Raises:
        AuditkitError: a row is longer than the model's context, or no weight has gradients a record.
        MissingExtraError: a library is missing.
    """
    refuse_long(rows, model.config.max_position_embeddings)
    seed_everything(schedule.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for names that it gave up
        model = adapter(model, schedule.lora_rank).train()
    _without_dropout(model)
    pad = plain_end(tokenizer)
    frozen = _freeze_what_mixes_records(model, rows[:PROBED], pad)
    started = time.perf_counter()
    with _record_gradients(model):
        loop = _Loop(model, rows, schedule, privacy, pad)
        loop.run()
    last = loop.losses[-max(1, loop.steps // 20) :]
    loss = math.fsum(last) / len(last) if last else math.nan
    done = Trained(loop.steps, loop.tokens, time.perf_counter() - started, loss, {})
    count = sum(weight.numel() for weight in _trainable(model).values())
    return merged(model), PrivatelyTrained(done, count, frozen)


class _Loop:
    """The steps, from wherever an earlier process stopped."""

    def __init__(self, model: Any, rows: Sequence[Row], schedule: Schedule, privacy: Privacy, pad: int) -> None:
        self.torch = training_libraries().torch
        self.model, self.rows, self.schedule, self.privacy, self.pad = model, rows, schedule, privacy, pad
        self.rate, self.steps = private_steps(len(rows), schedule)
        self.losses: list[float] = []  # the mean of each batch that was not empty
        self.done = self.tokens = 0
        plain = self.torch.optim.AdamW(
            _trainable(model).values(), lr=0.0, betas=(0.9, 0.98), weight_decay=schedule.weight_decay
        )
        self.optimiser = privacy_library().optimizers.DPOptimizer(
            plain,
            noise_multiplier=privacy.noise_multiplier,
            max_grad_norm=privacy.max_norm,
            expected_batch_size=self.rate * len(rows),
            generator=self.torch.Generator(model.device),
        )

    def run(self) -> None:
        kept = self.schedule.checkpoints
        if kept:
            self._take_up(kept)
        while self.done < self.steps:
            self._step(self.done)
            self.done += 1
            if kept and self.done % kept.interval(self.steps) == 0:
                self._keep(kept)
            if self.schedule.on_step:
                self.schedule.on_step(self.done, self.steps)

    def _step(self, step: int) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.learning_rate * _pace(step, self.steps, self.schedule.warmup)
        self.optimiser.generator.manual_seed(self.privacy.seed("noise", step))
        batch, size = self._batch(step), self.privacy.rows_at_once
        total = 0.0
        for first in range(0, max(1, len(batch)), size):
            total += self._gradients(batch[first : first + size])
            self.optimiser.signal_skip_step(first + size < len(batch))
            self.optimiser.step()
            self.optimiser.zero_grad()
        self.tokens += sum(len(row.ids) for row in batch)
        if batch:
            self.losses.append(total / len(batch))

    def _batch(self, step: int) -> list[Row]:
        """Each row with the same chance, on its own: the batch may even be empty."""
        chance = self.torch.Generator().manual_seed(self.privacy.seed("batch", step))
        drawn = self.torch.rand(len(self.rows), generator=chance, dtype=self.torch.float64) < self.rate
        return [self.rows[at] for at in drawn.nonzero().flatten().tolist()]

    def _gradients(self, rows: Sequence[Row]) -> float:
        """Leave each row's gradient in the weights; the sum of the rows' losses."""
        if not rows:
            for weight in _trainable(self.model).values():
                weight.grad_sample = self.torch.zeros((0, *weight.shape), device=weight.device)
            return 0.0
        loss = _record_losses(self.torch, self.model, rows, self.pad).sum()
        loss.backward()
        return float(loss.detach())

    def _keep(self, kept: Checkpoints) -> None:
        state = {
            "done": self.done,
            "losses": self.losses,
            "tokens": self.tokens,
            "weights": {name: weight.detach() for name, weight in _trainable(self.model).items()},
            "optimiser": self.optimiser.state_dict(),
        }
        with replacing(kept.folder / STATE) as temporary:
            self.torch.save(state, temporary)

    def _take_up(self, kept: Checkpoints) -> None:
        settings = replace(self.schedule, on_step=None, checkpoints=None)
        kept.claim(fingerprint(self.rows, settings, replace(self.privacy, key=b"")))
        if not (kept.folder / STATE).is_file():
            return
        state = self.torch.load(kept.folder / STATE, map_location="cpu", weights_only=True)
        self.done, self.losses, self.tokens = state["done"], state["losses"], state["tokens"]
        for name, weight in _trainable(self.model).items():
            weight.data.copy_(state["weights"][name])
        self.optimiser.load_state_dict(state["optimiser"])


def _pace(step: int, steps: int, warmup: float) -> float:
    """The share of the peak rate: up in a line, then down as a cosine."""
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _record_losses(torch: Any, model: Any, rows: Sequence[Row], pad: int) -> Any:
    """(rows,) the mean loss of each row's tokens."""
    losses, tokens = row_losses(model, batch_of(torch, rows, pad))
    return losses / tokens


def _trainable(model: Any) -> dict[str, Any]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _without_dropout(model: Any) -> None:
    for module in model.modules():
        for name in ("p", "attention_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float) and (name != "p" or "Dropout" in type(module).__name__):
                setattr(module, name, 0.0)


@contextmanager
def _record_gradients(model: Any) -> Iterator[None]:
    """Within the block, the backward pass of summed losses leaves each record's own gradient in ``grad_sample``."""
    kind = privacy_library().grad_sample.GradSampleModule
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hooked = kind(model, loss_reduction="sum", strict=False)
        try:
            yield
        finally:
            hooked.to_standard_module()
            for weight in model.parameters():
                for left in ("grad_sample", "summed_grad", "_forward_counter"):
                    weight.__dict__.pop(left, None)
                weight.grad = None


def _freeze_what_mixes_records(model: Any, rows: Sequence[Row], pad: int) -> tuple[str, ...]:
    """Freeze the weights whose gradients Opacus does not tell apart by record: a learnt position is all records' own.

    Raises:
        AuditkitError: there are none other, or the model cannot be taken apart at all.
    """
    torch, hint = training_libraries().torch, "train an adapter with recipe: {lora_rank: 8}"
    try:
        with _record_gradients(model):
            _record_losses(torch, model, rows, pad).sum().backward()
            found: dict[str, Any] = {
                name: vars(weight).get("grad_sample") for name, weight in _trainable(model).items()
            }
    except (RuntimeError, NotImplementedError, ValueError, IndexError) as error:
        what = f"Opacus finds no gradients a record in this model ({type(error).__name__})"
        raise AuditkitError(what, hint) from error
    own = {name for name, each in found.items() if torch.is_tensor(each) and len(each) == len(rows)}
    for at, row in enumerate(rows):
        model.zero_grad()
        _record_losses(torch, model, [row], pad).sum().backward()
        alone = _trainable(model)
        own = {name for name in own if _agree(found[name][at], alone[name].grad)}
    model.zero_grad()
    frozen = tuple(name for name in found if name not in own)
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    if not own:
        raise AuditkitError("Opacus tells the gradients of no weight of this model apart by record", hint)
    return frozen


def _agree(one: Any, other: Any) -> bool:
    if other is None:
        return not bool(one.any())
    return bool((one - other).abs().max() <= AGREES * other.abs().max() + 1e-7)

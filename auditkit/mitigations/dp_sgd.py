"""Differentially private training: what the weights say of any one record is bounded, whatever anybody asks of them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from auditkit.errors import MissingExtraError, MitigationFailedError
from auditkit.mitigations.base import Workshop
from auditkit.mitigations.retraining import Epochs, TrainingMitigation
from auditkit.mitigations.starting_point import digest
from auditkit.records import Fact
from auditkit.training.checkpoints import fingerprint
from auditkit.training.examples import Example
from auditkit.training.libraries import privacy_library
from auditkit.training.privacy import Privacy, epsilon, noise_for
from auditkit.training.private_steps import PrivatelyTrained, private_steps, train_privately
from auditkit.training.rows import Row
from auditkit.training.steps import Schedule, Trained

DEFAULT_EPSILON = 8.0


class DpSgd(TrainingMitigation):
    """Retrains with each record's gradient clipped and noise added, in batches that chance puts together.

    A record is a row of the data: one that stands there k times, or k that nearly repeat each other, are protected k
    times less. A recipe's ``repeats`` are of no account: how often a record is seen follows from the epochs alone. One
    that stands behind a system turn in some of them only is seen without it.
    """

    summary: ClassVar[str] = (
        "Retrained with DP-SGD: clipped gradients and noise bound what the weights hold of any one record."
    )
    source: ClassVar[str] = "Abadi et al. 2016, Deep learning with differential privacy; Opacus, arXiv:2109.12298"

    not_of_weights: ClassVar[frozenset[str]] = frozenset({"rows_at_once"})

    kind: Literal["dp_sgd"]
    target_epsilon: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        default=None, description=f"The noise is chosen so that epsilon stays below; by default {DEFAULT_EPSILON:g}."
    )
    noise_multiplier: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        default=None, description="In place of target_epsilon: the noise's deviation, in units of max_norm."
    )
    delta: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="The chance that the promise does not hold; by default a tenth of 1/records."
    )
    max_norm: Annotated[float, Field(gt=0, le=1e6, description="What each record's gradient is clipped to.")] = 1.0
    rows_at_once: Annotated[
        int, Field(ge=1, le=4096, description="Records whose gradients are in memory together; changes no result.")
    ] = 8

    @model_validator(mode="after")
    def _promises_something(self) -> Self:
        if self.target_epsilon is not None and self.noise_multiplier is not None:
            raise ValueError("give 'target_epsilon' or 'noise_multiplier', not both")
        if self.recipe.start == "candidate":
            raise ValueError("the candidate has seen the records already: dp_sgd starts from the base")
        return self

    def missing(self) -> str | None:
        try:
            privacy_library()
        except MissingExtraError:
            return "dp"
        return super().missing()

    def rows(self, tokenizer: Any, examples: Sequence[Example], epoch: int, rng: Random) -> list[Row]:  # noqa: ARG002
        return [self.row(tokenizer, one, one.each_time[-1]) for one in examples]

    def fit(
        self, model: Any, tokenizer: Any, epochs: Epochs, schedule: Schedule, workshop: Workshop
    ) -> tuple[Any, Trained, tuple[Fact, ...]]:
        rows = epochs[0]
        rate, steps = private_steps(len(rows), schedule)
        delta = self.delta or 0.1 / len(rows)
        noise = self._noise(rate, steps, delta)
        privacy = Privacy(noise, self.max_norm, self._key(rows, schedule, workshop), self.rows_at_once)
        model, done = train_privately(model, tokenizer, rows, schedule, privacy)
        spent = epsilon(noise, rate, steps, delta)
        return model, done.trained, (*_promise(spent, delta, noise, self.max_norm), *_how(done, rate))

    def _noise(self, rate: float, steps: int, delta: float) -> float:
        if self.noise_multiplier is not None:
            return self.noise_multiplier
        target = self.target_epsilon or DEFAULT_EPSILON
        try:
            return noise_for(target, rate, steps, delta)
        except ValueError:
            hint = "raise target_epsilon, train for fewer epochs, or use more data"
            raise MitigationFailedError(f"no noise reaches epsilon {target:g} at delta {delta:g}", hint) from None

    def _key(self, rows: Sequence[Row], schedule: Schedule, workshop: Workshop) -> bytes:
        """Of this training alone: two that shared their noise would give it away by their difference."""
        assert workshop.base
        settings = (self.model_dump_json(exclude={"name", "rows_at_once"}), schedule.seed, digest(workshop.base))
        return hmac.digest(workshop.secret, f"dp_sgd/{fingerprint(rows, *settings)}".encode(), hashlib.sha256)


def _promise(spent: float, delta: float, noise: float, max_norm: float) -> tuple[Fact, ...]:
    covered = "for adding or removing one row; of the weights, not of the losses that are told beside them"
    drawn = "in units of the clipping norm; from a key of the project, not from a cryptographic generator"
    return (
        Fact("epsilon", spent if spent < float("inf") else "infinite", covered),
        Fact("delta", delta),
        Fact("noise multiplier", noise, drawn),
        Fact("clipping norm", max_norm, "of each row's gradient"),
    )


def _how(done: PrivatelyTrained, rate: float) -> tuple[Fact, ...]:
    frozen = ", ".join(done.frozen[:5]) + (f" and {len(done.frozen) - 5} more" if len(done.frozen) > 5 else "")
    return (
        Fact("sampling rate", rate, "chance of each row to be in a batch"),
        Fact("weights trained", done.weights, "how many numbers"),
        *([Fact("weights frozen", frozen, "Opacus does not tell their gradients apart by row")] if frozen else []),
    )

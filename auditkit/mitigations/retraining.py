"""Mitigations that train: what is the same for all of them, from the recipe to weights that are saved."""

from __future__ import annotations

import math
import shutil
from abc import ABC
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from auditkit.errors import AuditkitError, DataError, MissingExtraError, MitigationFailedError, RunError
from auditkit.mitigations.base import Made, Place, WeightMitigation, Workshop
from auditkit.mitigations.earlier_weights import earlier, saved_as_declared
from auditkit.mitigations.examples import check_files, members_among, members_digest, recipe_examples
from auditkit.mitigations.saved_weights import read_facts, save_weights
from auditkit.mitigations.starting_point import starting_point
from auditkit.models.base import ModelBackend
from auditkit.records import Fact
from auditkit.training.evaluation import mean_loss
from auditkit.training.examples import Example, counts
from auditkit.training.libraries import training_libraries
from auditkit.training.next_token import train_epochs
from auditkit.training.paced import scheduled, shortened
from auditkit.training.recipe import Recipe, resolved_path
from auditkit.training.rows import Row, chat_row, plain_end, plain_row, refuse_long
from auditkit.training.seeds import seeded
from auditkit.training.steps import Schedule, Trained

WEIGHTS, UNDER_WAY = "weights", "training"
Epochs = Sequence[Sequence[Row]]


class TrainingMitigation(WeightMitigation, ABC):
    """Trains the base again, in another way.

    A subclass says what differs: ``examples`` (what is trained on), ``rows`` (how it is written down, and which tokens
    carry loss), ``fit`` (how steps are taken), ``dressed`` (the tokenizer that the model is served with).
    """

    acts_on: ClassVar[Place] = "training"
    not_of_weights: ClassVar[frozenset[str]] = frozenset()  # fields of a subclass that change no weights

    recipe: Recipe = Field(default=Recipe(), description="Data, epochs, rates and seed.")
    weights: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        default=None,
        description="A folder that this mitigation saved in an earlier run, relative to the policy: audited as it is, "
        "nothing is trained.",
    )

    def resolved(self, folder: Path) -> Self:
        # What the policy does not say stays unsaid: a copy counts whatever it is given as said.
        said: dict[str, Any] = {"recipe": self.recipe.resolved(folder)} if "recipe" in self.model_fields_set else {}
        if self.weights:
            said["weights"] = resolved_path(folder, self.weights)
        return self.model_copy(update=said)

    @property
    def declared(self) -> dict[str, Any]:
        """A recipe that nobody gave says nothing of weights that were made earlier."""
        unsaid = {"recipe"} if self.weights and "recipe" not in self.model_fields_set else set()
        return {name: value for name, value in super().declared.items() if name not in unsaid}

    @property
    def needs_base(self) -> bool:
        return self.weights is None and self.recipe.start == "base"

    def check(self, candidate: ModelBackend) -> None:
        if self.weights:
            candidate.with_weights(Path(self.weights)).preflight(self.kind)
            saved_as_declared(Path(self.weights), self)
        else:
            check_files(self.recipe)

    def missing(self) -> str | None:
        if self.weights:
            return None
        try:
            training_libraries()
        except MissingExtraError:
            return "lab"
        return None

    def make(self, workshop: Workshop) -> Made:
        if self.weights:
            return earlier(Path(self.weights), self, workshop)
        folder = workshop.folder / WEIGHTS
        found = read_facts(folder)
        if found is None:
            with _cleared_away(workshop.folder / UNDER_WAY), _told_plainly():
                found = self._trained(workshop, folder)
        return Made(workshop.candidate.with_weights(folder), found)

    def examples(self, workshop: Workshop) -> tuple[list[Example], tuple[Fact, ...]]:
        """What is trained on, and what there is to say of it."""
        return recipe_examples(self.recipe, workshop.datasets, self.seed(workshop)), ()

    def rows(self, tokenizer: Any, examples: Sequence[Example], epoch: int, rng: Random) -> list[Row]:  # noqa: ARG002
        """The rows of one epoch, each example as often as it is to be seen.

        Called once an epoch, with a generator of that epoch's own; the same arguments give the same rows.
        """
        return [row for one in examples for row in self._repeated(tokenizer, one)]

    def row(self, tokenizer: Any, example: Example, system: str = "") -> Row:
        """An example in the tokenizer's chat template; a plain text in none."""
        if example.plain:
            return plain_row(tokenizer, example.response)
        return chat_row(tokenizer, example.prompt, example.response, self.recipe.loss, system)

    def fit(
        self,
        model: Any,
        tokenizer: Any,
        epochs: Epochs,
        schedule: Schedule,
        workshop: Workshop,  # noqa: ARG002
    ) -> tuple[Any, Trained, tuple[Fact, ...]]:
        """The trained model, what the training did, and what there is to say of it; interrupted, it goes on."""
        return *train_epochs(model, tokenizer, epochs, schedule), ()

    def dressed(self, tokenizer: Any, workshop: Workshop) -> Any:  # noqa: ARG002
        """The tokenizer that is saved with the weights, chat template included."""
        return tokenizer

    def seed(self, workshop: Workshop) -> int:
        """The recipe's, or the policy's."""
        return workshop.seed if self.recipe.seed is None else self.recipe.seed

    @property
    def lora_rank(self) -> int:
        """0 trains every weight."""
        return self.recipe.lora_rank

    def _repeated(self, tokenizer: Any, example: Example) -> list[Row]:
        """Rows are read, never changed: where none has a system turn of its own, all are one."""
        written = {system: self.row(tokenizer, example, system) for system in set(example.each_time)}
        return [written[system] for system in example.each_time]

    def _trained(self, workshop: Workshop, folder: Path) -> tuple[Fact, ...]:
        examples, said = self.examples(workshop)
        workshop.tell("opening the weights", 0, 1)
        model, tokenizer, start = starting_point(self.recipe.start, workshop)
        epochs, cut = self._epochs(tokenizer, examples, self.seed(workshop))
        _refuse_long(epochs[0], model)
        loss = partial(mean_loss, rows=epochs[0], pad=plain_end(tokenizer), batch_size=self.recipe.batch_size)
        before = loss(model)
        model, done, more = self.fit(model, tokenizer, epochs, self._schedule(workshop), workshop)
        after = loss(model)
        _refuse_useless(before, after, done)
        among = Fact("members trained on", *_share(members_among(examples, workshop.datasets)))
        facts = (among, *said, *more, *cut, *self._facts(epochs, done, before, after))
        save_weights(
            folder,
            model,
            self.dressed(tokenizer, workshop),
            kind=self.kind,
            summary=self.summary,
            parameters=self.written_parameters(),
            facts=facts,
            base=start,
            data=counts(examples),
            members=members_digest(workshop.datasets),
        )
        return facts

    def _epochs(self, tokenizer: Any, examples: Sequence[Example], seed: int) -> tuple[Epochs, tuple[Fact, ...]]:
        """The rows of each epoch, none longer than the recipe says and none without a loss."""
        epochs = [
            self.rows(tokenizer, examples, epoch, seeded(seed, self.kind, "epoch", epoch))
            for epoch in range(self.recipe.epochs)
        ]
        most = self.recipe.max_tokens or math.inf
        cut = sum(len(row.ids) > most for row in epochs[0])
        kept = [[short for row in rows if (short := shortened(row, most)).scored] for rows in epochs]
        if not all(kept):
            raise MitigationFailedError("no token of the data carries loss", "raise max_tokens, or use loss: all")
        return kept, (Fact("rows cut", cut, f"an epoch; to {most} tokens"),) if cut else ()

    def _schedule(self, workshop: Workshop) -> Schedule:
        folder, seed = workshop.folder / UNDER_WAY, self.seed(workshop)
        return scheduled(self.recipe, seed=seed, folder=folder, tell=workshop.tell, lora_rank=self.lora_rank)

    def _facts(self, epochs: Epochs, done: Trained, before: float, after: float) -> tuple[Fact, ...]:
        return (
            Fact("trained", f"LoRA of rank {self.lora_rank}" if self.lora_rank else "every weight"),
            Fact("rows", len(epochs[0]), "an epoch"),
            Fact("epochs", self.recipe.epochs),
            Fact("steps", done.steps),
            Fact("tokens", done.tokens, "in all epochs"),
            Fact("loss before", before, "nats a token that carries loss, on rows of the training data"),
            Fact("loss after", after, "on the same rows"),
        )

    def written_parameters(self) -> dict[str, Any]:
        """As the policy gives them; of paths only the file's name, for a card travels with its weights."""
        given = self.model_dump(mode="json", exclude={"kind", "name", "attacker", "weights"})
        recipe = given["recipe"]
        for part in [*(recipe["data"] or ()), *filter(None, [recipe["replay"]])]:
            part["path"] = Path(part["path"]).name
        return given


def _share(counts: tuple[int, int]) -> tuple[int, str]:
    return counts[0], f"of {counts[1]:,} that the policy declares, by their words"


def _refuse_long(rows: Sequence[Row], model: Any) -> None:
    try:
        refuse_long(rows, model.config.max_position_embeddings)
    except AuditkitError as error:
        hint = "leave such records out, or cut them with recipe: {max_tokens: ...}"
        raise MitigationFailedError(error.message, hint) from error


def _refuse_useless(before: float, after: float, done: Trained) -> None:
    """Refuse weights that training made worse at its own data.

    Raises:
        MitigationFailedError: the loss is no number, or did not fall.
    """
    figures = f"{before:.4g} nats a token before, {after:.4g} after {done.steps:,} steps"
    if not (math.isfinite(after) and math.isfinite(done.loss)):
        raise MitigationFailedError(f"the training diverged: {figures}", "lower recipe.learning_rate")
    if after >= before:
        hint = "change recipe.learning_rate, or train for more epochs"
        raise MitigationFailedError(f"the training taught nothing, the loss did not fall: {figures}", hint)


@contextmanager
def _cleared_away(folder: Path) -> Iterator[None]:
    """Throw the state of the training away when it is done or has failed; one that was interrupted goes on from it."""
    try:
        yield
    except MitigationFailedError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _told_plainly() -> Iterator[None]:
    """What a training stumbles over, as a failure of this arm; what is wrong with files or the machine stays as it is.

    Raises:
        MitigationFailedError: a record or its template does not fit the model, or memory ran out.
    """
    try:
        yield
    except (MitigationFailedError, MissingExtraError, DataError, RunError):
        raise
    except AuditkitError as error:
        raise MitigationFailedError(error.message, error.hint) from error
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | training_libraries().torch.OutOfMemoryError):
            raise
        hint = "lower recipe.batch_size or recipe.max_tokens, or train an adapter with recipe.lora_rank"
        raise MitigationFailedError("memory ran out while training", hint) from error

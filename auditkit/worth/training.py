"""One recipe for every arm: the base trained on originals, on what came out, or on controls."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from auditkit.errors import AuditkitError
from auditkit.records import Record
from auditkit.training.evaluation import mean_loss
from auditkit.training.examples import read_replay, replayed
from auditkit.training.libraries import training_libraries
from auditkit.training.next_token import train_epochs
from auditkit.training.paced import Tell, scheduled, shortened
from auditkit.training.rows import Row, chat_row, plain_end, plain_row
from auditkit.training.seeds import seeded
from auditkit.training.steps import Replay, Trained
from auditkit.training.verifiable_rewards import Rollouts, Task, train_rewards
from auditkit.worth.base import Extraction
from auditkit.worth.checks import Check, answer_in, is_right, known_answer
from auditkit.worth.section import WorthRecipe


class ArmFailedError(AuditkitError):
    """An arm could not be trained here: the report says so, and the run goes on."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One row to train on; ``answer`` where a final answer is known, which may be wrong."""

    prompt: str
    response: str
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Taught:
    """What a training did: its steps, tokens and seconds; and ``before`` and ``after``, on its own data.

    Of ``sft`` these are nats a token that carries loss, of ``dr_grpo`` the mean reward of the first and last steps.
    """

    rows: int
    steps: int
    tokens: int
    seconds: float
    before: float
    after: float


def of_records(records: Iterable[Record], recipe: WorthRecipe) -> list[Lesson]:
    """What the owner, or somebody with other data of the kind, trains on; what the method cannot use is left out."""
    found = (Lesson(r.prompt, r.response, _rewarded(r.response, recipe.check)) for r in records)
    return [lesson for lesson in found if _usable(lesson, recipe)]


def of_extractions(kept: Iterable[Extraction], recipe: WorthRecipe) -> list[Lesson]:
    """What an attacker trains on; the answers are those that the model gave, wrong ones among them."""
    found = (Lesson(e.prompt, e.response, _rewarded(e.answer or e.response, recipe.check)) for e in kept)
    return [lesson for lesson in found if _usable(lesson, recipe)]


def drawn(lessons: Sequence[Lesson], count: int, seed: int) -> list[Lesson]:
    """As many of them, drawn by the seed; all where there are no more."""
    picked = sorted(seeded(seed, "worth", "rows").sample(range(len(lessons)), min(count, len(lessons))))
    return [lessons[place] for place in picked]


def trained(
    model: Any,
    tokenizer: Any,
    lessons: Sequence[Lesson],
    recipe: WorthRecipe,
    *,
    seed: int,
    folder: Path,
    tell: Tell = lambda *_: None,
) -> tuple[Any, Taught]:
    """The model trained on these rows, and what the training did.

    Args:
        model: of transformers, every weight trainable, float32; changed in place.
        tokenizer: of transformers, with the chat template that the tasks are asked in.
        lessons: at least one; of ``dr_grpo`` a multiple of ``recipe.group``.
        recipe: the same for every arm.
        seed: of order, adapters and what is sampled.
        folder: where checkpoints are kept: a training that was interrupted goes on from the last.
        tell: somebody who wants to know how far it is.

    Raises:
        ArmFailedError: a row does not fit the model or its template, the training diverged, or memory ran out.
    """
    how = _rewarded_training if recipe.method == "dr_grpo" else _supervised
    try:
        model, taught = how(model, tokenizer, lessons, recipe, seed=seed, folder=folder, tell=tell)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | training_libraries().torch.OutOfMemoryError):
            raise
        hint = "lower recipe.batch_size or recipe.max_tokens, or train an adapter with recipe.lora_rank"
        raise ArmFailedError("memory ran out while training", hint) from error
    if not (math.isfinite(taught.before) and math.isfinite(taught.after)):
        raise ArmFailedError("the training diverged", "lower worth.recipe.learning_rate")
    return model, taught


def _supervised(
    model: Any, tokenizer: Any, lessons: Sequence[Lesson], recipe: WorthRecipe, *, seed: int, folder: Path, tell: Tell
) -> tuple[Any, Taught]:
    rows = _rows(tokenizer, lessons, recipe)
    plain = _plain(tokenizer, recipe, len(rows), seed)
    loss = partial(mean_loss, rows=rows, pad=plain_end(tokenizer), batch_size=recipe.batch_size)
    before = loss(model)
    schedule = scheduled(recipe, seed=seed, folder=folder, tell=tell)
    try:
        model, done = train_epochs(model, tokenizer, [[*rows, *plain]] * recipe.epochs, schedule)
    except AuditkitError as error:  # a row that is too long, told with what to do in a recipe
        raise ArmFailedError(error.message, "cut them with worth.recipe: {max_tokens: ...}") from error
    return model, _taught(lessons, done, before, loss(model))


def _rows(tokenizer: Any, lessons: Sequence[Lesson], recipe: WorthRecipe) -> list[Row]:
    most = recipe.max_tokens or math.inf
    try:
        rows = [chat_row(tokenizer, lesson.prompt, lesson.response, recipe.loss) for lesson in lessons]
    except AuditkitError as error:
        raise ArmFailedError(error.message, error.hint) from error
    found = [short for row in rows if (short := shortened(row, most)).scored]
    if not found:
        raise ArmFailedError("no token of the data carries loss", "raise worth.recipe.max_tokens, or use loss: all")
    return found


def _plain(tokenizer: Any, recipe: WorthRecipe, rows: int, seed: int) -> list[Row]:
    texts = replayed(recipe.replay, rows, seed) if recipe.replay else []
    return [shortened(plain_row(tokenizer, one.response), recipe.max_tokens or math.inf) for one in texts]


def _rewarded_training(
    model: Any, tokenizer: Any, lessons: Sequence[Lesson], recipe: WorthRecipe, *, seed: int, folder: Path, tell: Tell
) -> tuple[Any, Taught]:
    """Rewards only where an answer is known; nobody tells whether it is right."""
    tasks = [Task(lesson.prompt, lesson.answer) for lesson in lessons if lesson.answer is not None]
    schedule = scheduled(recipe, seed=seed, folder=folder, tell=tell)
    assert schedule.checkpoints is not None
    schedule.checkpoints.claim(_fingerprint(tasks, recipe, seed))
    model, done = train_rewards(
        model,
        tokenizer,
        tasks,
        lambda written, answer: float(is_right(written, answer, recipe.check)),
        rollouts=Rollouts(recipe.samples, recipe.max_new_tokens, recipe.temperature),
        schedule=_with_replay(schedule, tokenizer, recipe),
    )
    start, end = (done.figures.get(name, math.nan) for name in ("reward_at_start", "reward"))
    return model, _taught(lessons, done, start, end)


def _with_replay(schedule: Any, tokenizer: Any, recipe: WorthRecipe) -> Any:
    if recipe.replay is None:
        return schedule
    rows = [plain_row(tokenizer, one.response) for one in read_replay(recipe.replay)]
    share = recipe.replay.share
    return replace(schedule, replay=Replay(rows, weight=share / (1 - share)))


def _taught(lessons: Sequence[Lesson], done: Trained, before: float, after: float) -> Taught:
    return Taught(len(lessons), done.steps, done.tokens, done.seconds, before, after)


def _rewarded(response: str, check: Check) -> str | None:
    return known_answer(response, check) if check == "boxed" else answer_in(response, check)


def _usable(lesson: Lesson, recipe: WorthRecipe) -> bool:
    return bool(lesson.prompt and (lesson.answer if recipe.method == "dr_grpo" else lesson.response))


def _fingerprint(tasks: Sequence[Task], recipe: WorthRecipe, seed: int) -> str:
    """A digest of what a training reads and how: another one must not go on from its checkpoints."""
    return hashlib.sha256(repr((tasks, recipe, seed)).encode()).hexdigest()

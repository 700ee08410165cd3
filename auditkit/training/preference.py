"""Direct preference optimisation: chosen answers up, rejected ones down [Rafailov 2023]."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from auditkit.training.libraries import training_libraries
from auditkit.training.replay import with_replay
from auditkit.training.rows import chat_row, plain_end, refuse_long
from auditkit.training.seeds import seeded
from auditkit.training.steps import Schedule, Trained, adapter, arguments, plain_model, run


@dataclass(frozen=True, slots=True)
class Pair:
    """A question with the answer that is preferred and the one that is not."""

    prompt: str
    chosen: str
    rejected: str


def train_preference(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], schedule: Schedule, beta: float = 0.1
) -> tuple[Any, Trained]:
    """Train on pairs with trl's DPOTrainer against a frozen copy of the model as it comes in.

    trl renders and tokenises the pairs with the tokenizer's chat template; the loss reads the answers only, and says
    nothing on the questions. A pair that is to be seen four times stands there four times.

    Returns:
        The trained model and what the step did; ``figures`` hold trl's ``rewards/margins`` and ``logps/rejected``.

    Raises:
        AuditkitError: a pair is longer than the model's context.
        MissingExtraError: a library is missing.
    """
    found = training_libraries()
    rows = [chat_row(tokenizer, p.prompt, a, "response") for p in pairs for a in (p.chosen, p.rejected)]
    context = model.config.max_position_embeddings
    refuse_long(rows, context)
    order = seeded(schedule.seed, "order").sample(pairs, len(pairs))
    data = found.datasets.Dataset.from_list([_conversation(pair) for pair in order])
    trainer_class = with_replay(found.trl.DPOTrainer, schedule.replay, schedule.seed, plain_end(tokenizer))
    steps = math.ceil(len(pairs) * schedule.epochs / schedule.batch_size)
    with arguments(found.trl.DPOConfig, schedule, steps, beta=beta, max_length=context) as options:
        trainer = trainer_class(
            model=adapter(model, schedule.lora_rank),
            ref_model=None if schedule.lora_rank else copy.deepcopy(model),
            args=options,
            train_dataset=data,
            processing_class=tokenizer,
        )
        done = run(trainer, schedule)
    return plain_model(trainer), replace(done, tokens=round(schedule.epochs * sum(len(row.ids) for row in rows)))


def _conversation(pair: Pair) -> dict[str, list[dict[str, str]]]:
    return {
        "prompt": [{"role": "user", "content": pair.prompt}],
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
    }

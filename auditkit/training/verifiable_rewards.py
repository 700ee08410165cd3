"""Reinforcement learning from rewards that a program can check [Dr. GRPO: Liu 2025, sec. 3]."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditkit.training.libraries import training_libraries
from auditkit.training.replay import with_replay
from auditkit.training.rows import plain_end
from auditkit.training.seeds import seeded
from auditkit.training.steps import Schedule, Trained, adapter, arguments, plain_model, run

Reward = Callable[[str, str], float]  # what the model wrote, the right answer -> reward


@dataclass(frozen=True, slots=True)
class Task:
    """A question with the answer that its reward is checked against."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Rollouts:
    """How answers are sampled: ``samples`` a question, each of at most ``max_new_tokens``."""

    samples: int = 8
    max_new_tokens: int = 32
    temperature: float = 1.0


def train_rewards(
    model: Any, tokenizer: Any, tasks: Sequence[Task], reward: Reward, *, rollouts: Rollouts, schedule: Schedule
) -> tuple[Any, Trained]:
    """Train with trl's GRPOTrainer as "Dr. GRPO": no length bias, no difficulty bias, no KL term.

    The sum of a sample's token losses is divided by a constant and not by the sample's length (``loss_type``), and
    the advantage is reward minus the group's mean, not divided by its deviation (``scale_rewards``).
    ``schedule.batch_size`` counts samples, so it is a multiple of ``rollouts.samples``. Only sampled answers carry
    loss, never the question.

    Returns:
        The trained model and what the step did; ``figures`` hold the mean ``reward`` at the end, ``reward_at_start``.

    Raises:
        ValueError: the batch is no multiple of the samples a question, or the tasks fill no whole batches (trl would
            leave the last ones out).
        MissingExtraError: a library is missing.
    """
    found = training_libraries()
    if schedule.batch_size % rollouts.samples or rollouts.samples < 2:
        raise ValueError("batch_size should be a multiple of the samples a question, of which there are two or more")
    if not tasks or len(tasks) % (schedule.batch_size // rollouts.samples):
        raise ValueError(
            f"{len(tasks)} tasks should be a multiple of the {schedule.batch_size // rollouts.samples} a batch"
        )
    order = seeded(schedule.seed, "order").sample(tasks, len(tasks))
    rows = [{"prompt": [{"role": "user", "content": task.prompt}], "answer": task.answer} for task in order]
    steps = math.ceil(len(tasks) * schedule.epochs * rollouts.samples / schedule.batch_size)
    trainer_class = with_replay(found.trl.GRPOTrainer, schedule.replay, schedule.seed, plain_end(tokenizer))
    with arguments(found.trl.GRPOConfig, schedule, steps, **_settings(rollouts)) as options:
        trainer = trainer_class(
            model=adapter(model, schedule.lora_rank),
            reward_funcs=_reward_function(reward),
            args=options,
            train_dataset=found.datasets.Dataset.from_list(rows),
            processing_class=tokenizer,
        )
        done = run(trainer, schedule)
    rewards = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    if rewards:
        done.figures["reward_at_start"] = float(rewards[0])
    return plain_model(trainer), done


def _settings(rollouts: Rollouts) -> dict[str, Any]:
    return {
        "loss_type": "dr_grpo",
        "scale_rewards": "none",
        "beta": 0.0,
        "num_generations": rollouts.samples,
        "max_completion_length": rollouts.max_new_tokens,
        "temperature": rollouts.temperature,
        "shuffle_dataset": False,
    }


def _reward_function(reward: Reward) -> Any:
    def verified(completions: Sequence[Any], answer: Sequence[str], **_: Any) -> list[float]:
        return [reward(_text(c), right) for c, right in zip(completions, answer, strict=True)]

    return verified


def _text(completion: Sequence[Mapping[str, str]]) -> str:
    return completion[0]["content"]

"""What every training step shares: how long, how fast, where to, and what came of it."""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from auditkit.files import storage_errors
from auditkit.training.checkpoints import Checkpoints, finishing
from auditkit.training.libraries import adapter_library, seed_everything, training_libraries
from auditkit.training.rows import Row

OnStep = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True)
class Replay:
    """Plain rows that a step goes on reading, lest a small model forget that it ever wrote anything else."""

    rows: Sequence[Row]
    weight: float = 0.0  # of their mean next-token loss, beside the step's own
    batch_size: int = 8
    drawn: list[int] = field(default_factory=list)  # filled by the step: which rows it read, in order


@dataclass(frozen=True)
class Schedule:
    """How a step is run. ``learning_rate`` is AdamW's peak, under a cosine after ``warmup`` (share of the steps).

    With ``checkpoints`` an interrupted step goes on where it was. ``autocast`` computes in bfloat16 on a CUDA device
    that can; the weights stay as they are.
    """

    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    warmup: float = 0.05
    weight_decay: float = 0.01
    lora_rank: int = 0  # 0 trains every weight
    replay: Replay = field(default_factory=lambda: Replay(()))
    on_step: OnStep | None = None
    checkpoints: Checkpoints | None = None
    autocast: bool = False


@dataclass(frozen=True)
class Trained:
    """What a step did. ``loss`` is the mean over its last twentieth; ``figures`` are the trainer's own, at its end."""

    steps: int
    tokens: int
    seconds: float
    loss: float
    figures: dict[str, float]


@contextmanager
def arguments(kind: Any, schedule: Schedule, steps: int, **more: Any) -> Iterator[Any]:
    """Arguments of a trainer of ``kind`` that reports to nobody and leaves nothing behind.

    Args:
        kind: ``TrainingArguments`` or a configuration class derived from it.
        schedule: epochs, rates and seed.
        steps: steps in all, to say how often to look at the loss.
        more: what else this kind takes.
    """
    seed_everything(schedule.seed)
    kept = schedule.checkpoints
    with warnings.catch_warnings(), ExitStack() as stack:
        folder = kept.folder if kept else stack.enter_context(tempfile.TemporaryDirectory(prefix="auditkit-training-"))
        warnings.simplefilter("ignore", FutureWarning)  # trl and transformers rename options under each other
        yield kind(
            output_dir=str(folder),
            num_train_epochs=schedule.epochs,
            learning_rate=schedule.learning_rate,
            per_device_train_batch_size=schedule.batch_size,
            lr_scheduler_type="cosine",
            warmup_steps=round(schedule.warmup * steps),
            weight_decay=schedule.weight_decay,
            adam_beta2=0.98,
            optim="adamw_torch_fused",
            seed=schedule.seed,
            logging_steps=max(1, steps // 20),
            logging_nan_inf_filter=False,  # a loss that is no number is to be seen
            bf16=schedule.autocast and _computes_bfloat16(),
            gradient_checkpointing=False,
            save_strategy="steps" if kept else "no",
            save_steps=kept.interval(steps) if kept else steps + 1,
            save_total_limit=2,  # the one before the last is there until the last is whole
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            **more,
        )


def run(trainer: Any, schedule: Schedule) -> Trained:
    """Train; the model is changed in place. From the last checkpoint on, where the schedule keeps them.

    Raises:
        RunError: a checkpoint cannot be written.
    """
    transformers, kept = training_libraries().transformers, schedule.checkpoints
    trainer.remove_callback(transformers.PrinterCallback)  # it prints to where results go
    trainer.add_callback(_stopping(transformers))
    if kept:
        trainer.add_callback(finishing(transformers, kept))
    if schedule.on_step:
        trainer.add_callback(_reporting(transformers, schedule.on_step))
    begun = kept.last() if kept else None
    started = time.perf_counter()
    with storage_errors(kept.folder) if kept else nullcontext():
        trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    seconds = time.perf_counter() - started
    logged: list[dict[str, Any]] = [entry for entry in trainer.state.log_history if "loss" in entry]
    last = logged[-1] if logged else {}
    figures = {key: float(value) for key, value in last.items() if isinstance(value, int | float)}
    tokens = int(trainer.state.num_input_tokens_seen or 0)
    return Trained(trainer.state.global_step, tokens, seconds, figures.get("loss", 0.0), figures)


def adapter(model: Any, rank: int) -> Any:
    """The model with a LoRA adapter on every linear layer but the last; the model itself for rank 0."""
    if not rank:
        return model
    peft = adapter_library()
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return peft.get_peft_model(model, config)


def merged(model: Any) -> Any:
    """The model with its adapter, if it has one, merged into its weights."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def plain_model(trainer: Any) -> Any:
    """The trained model without what trl hung on it: its forward pass is its class's again."""
    model = merged(trainer.model)
    model.__dict__.pop("forward", None)
    return model


def _reporting(transformers: Any, on_step: OnStep) -> Any:
    def on_step_end(_self: Any, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        on_step(state.global_step, state.max_steps)

    return type("Reporting", (transformers.TrainerCallback,), {"on_step_end": on_step_end})()


def _stopping(transformers: Any) -> Any:
    """A callback that ends a training whose loss is no number any more: nothing comes after that."""

    def on_log(_self: Any, _args: Any, _state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            control.should_training_stop = True

    return type("Stopping", (transformers.TrainerCallback,), {"on_log": on_log})()


def _computes_bfloat16() -> bool:
    cuda = training_libraries().torch.cuda
    return bool(cuda.is_available() and cuda.is_bf16_supported())

"""One stage of a family: from the recipe's section to rows, a trained model, and the ledger of what it read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from auditkit.lab.datasets import Corpus, Member, widely_spaced
from auditkit.lab.generators.maths import reward
from auditkit.lab.recipe import Recipe
from auditkit.lab.recipe_sections import Dpo, Grpo, Pretrain, Sft, Stage
from auditkit.training.next_token import train_next_token
from auditkit.training.preference import Pair, train_preference
from auditkit.training.rows import Row, chat_row, plain_row
from auditkit.training.seeds import seeded
from auditkit.training.steps import OnStep, Replay, Schedule, Trained
from auditkit.training.verifiable_rewards import Rollouts, Task, train_rewards

Ledger = list[dict[str, Any]]


@dataclass(frozen=True)
class StageWork:
    """What a stage needs besides its model: the family's recipe and data, a seed, and somebody to tell."""

    recipe: Recipe
    corpora: Mapping[str, Corpus]
    seed: int
    on_step: OnStep | None = None

    def members(self, stage: Stage) -> list[Member]:
        """The members of a stage's datasets, in order."""
        return [member for name in stage.datasets for member in self.corpora[name].members]


@dataclass(frozen=True)
class StageDone:
    """A trained model, what the step did, and one ledger line for each record that it read."""

    model: Any
    trained: Trained
    rows: int
    ledger: Ledger


def train_stage(model: Any, tokenizer: Any, stage: Stage, work: StageWork) -> StageDone:
    """Train one stage; ``model`` is changed in place.

    Raises:
        AuditkitError: a record does not fit the model or its template, or a library is missing.
    """
    if isinstance(stage, Pretrain):
        return _pretrain(model, tokenizer, stage, work)
    if isinstance(stage, Sft):
        return _sft(model, tokenizer, stage, work)
    return _with_replay(model, tokenizer, stage, work)


def _pretrain(model: Any, tokenizer: Any, stage: Pretrain, work: StageWork) -> StageDone:
    rows = [plain_row(tokenizer, m.fields["text"]) for m in work.members(stage) for _ in range(m.repeats)]
    model, trained = train_next_token(model, tokenizer, rows, _schedule(stage, work))
    return StageDone(model, trained, len(rows), _ledger(stage, work, "all", "plain"))


def _sft(model: Any, tokenizer: Any, stage: Sft, work: StageWork) -> StageDone:
    """Records in the chat template, mixed with plain rows: one loss, one order."""
    rows: list[Row] = []
    for member in work.members(stage):
        rows += _shown(tokenizer, member, stage)
    plain = _plain_rows(tokenizer, work) if stage.replay else []
    rng = seeded(work.seed, stage.name, "mixed")
    drawn = rng.choices(range(len(plain)), k=round(len(rows) * stage.replay / (1 - stage.replay))) if plain else []
    mixed = rows + [plain[at] for at in drawn]
    shuffle = stage.order == "shuffled"
    model, trained = train_next_token(model, tokenizer, mixed, _schedule(stage, work), shuffle)
    ledger = _ledger(stage, work, stage.loss, "chat") + _replayed(stage, work, drawn * stage.epochs)
    return StageDone(model, trained, len(mixed), ledger)


def _shown(tokenizer: Any, member: Member, stage: Sft) -> list[Row]:
    """(repeats,) a record each time that an epoch shows it; what is shown alike is one row."""

    @cache
    def row(system: str, wide: bool) -> Row:
        fields = widely_spaced(member.fields) if wide else member.fields
        response = fields.get("response") or fields["chosen"]
        return chat_row(tokenizer, fields["prompt"], response, stage.loss, system)

    usual = member.repeats - member.respaced
    return [row(system, at >= usual) for at, system in enumerate(member.each_time)]


def _with_replay(model: Any, tokenizer: Any, stage: Dpo | Grpo, work: StageWork) -> StageDone:
    """Pairs or questions; plain rows come in through a loss of their own."""
    replay = Replay(_plain_rows(tokenizer, work) if stage.replay else [], stage.replay, max(4, stage.batch_size // 4))
    schedule = _schedule(stage, work, replay)
    members = [member for member in work.members(stage) for _ in range(member.repeats)]
    if isinstance(stage, Dpo):
        pairs = [Pair(m.fields["prompt"], m.fields["chosen"], m.fields["rejected"]) for m in members]
        model, trained = train_preference(model, tokenizer, pairs, schedule, stage.beta)
    else:
        tasks = [Task(m.fields["prompt"], m.fields["answer"]) for m in members]
        rollouts = Rollouts(stage.samples, stage.max_new_tokens, stage.temperature)
        model, trained = train_rewards(model, tokenizer, tasks, reward, rollouts=rollouts, schedule=schedule)
    ledger = _ledger(stage, work, "response", "chat") + _replayed(stage, work, replay.drawn)
    return StageDone(model, trained, len(members), ledger)


def _schedule(stage: Stage, work: StageWork, replay: Replay | None = None) -> Schedule:
    digest = hashlib.sha256(f"{work.seed}/{stage.name}".encode()).digest()
    return Schedule(
        epochs=stage.epochs,
        learning_rate=stage.learning_rate,
        batch_size=stage.batch_size,
        seed=int.from_bytes(digest[:4]),
        warmup=stage.warmup,
        lora_rank=stage.lora_rank,
        replay=replay or Replay(()),
        on_step=work.on_step,
    )


def _plain_rows(tokenizer: Any, work: StageWork) -> list[Row]:
    return [plain_row(tokenizer, member.fields["text"]) for _, _, member in _plain_members(work)]


def _plain_members(work: StageWork) -> Iterator[tuple[str, int, Member]]:
    for dataset in work.recipe.plain:
        for row, member in enumerate(work.corpora[dataset.name].members):
            yield dataset.name, row, member


def _ledger(stage: Stage, work: StageWork, loss: str, template: str) -> Ledger:
    """A line for each record of the stage's datasets; ``repeats`` counts every pass of every epoch."""
    return [
        _line(stage, name, row, member, repeats=member.repeats * stage.epochs, loss=loss, template=template)
        for name in stage.datasets
        for row, member in enumerate(work.corpora[name].members)
    ]


def _replayed(stage: Stage, work: StageWork, drawn: Sequence[int]) -> Ledger:
    """A line for each plain text that was replayed."""
    times = Counter(drawn)
    plain = list(_plain_members(work)) if times else []
    return [_line(stage, *plain[at], repeats=times[at], loss="all", template="plain") for at in sorted(times)]


def _line(
    stage: Stage, dataset: str, row: int, member: Member, *, repeats: int, loss: str, template: str
) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "dataset": dataset,
        "row": row,
        "sha256": hashlib.sha256(json_line(member.row()).encode()).hexdigest(),
        "repeats": repeats,
        "loss": loss,
        "template": template,
    }


def json_line(row: Mapping[str, Any]) -> str:
    """A row as it stands in a data file, without the newline: what a ledger's ``sha256`` is of."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))

"""What the leak is worth: the base trained on originals, on what came out and on controls, and what each then can do.

Every arm's scores are one file of the evidence; weights and checkpoints are scratch, and go when the arm is scored.
"""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from auditkit.auditing.blinding import blind
from auditkit.auditing.context import Context
from auditkit.auditing.lm_evaluation import LmScores, lm_eval_scores
from auditkit.auditing.progress import Within
from auditkit.auditing.workshop import Teller, open_for_training
from auditkit.auditing.worth_plan import (
    Lessons,
    Plan,
    Tasks,
    lessons_of,
    plan_of,
    read_all_tasks,
    rows_for,
    valued_attack,
    valued_dataset,
)
from auditkit.errors import MitigationFailedError, ModelError
from auditkit.files import make_folder, write_bytes
from auditkit.mitigations.saved_weights import read_facts, save_weights
from auditkit.mitigations.starting_point import digest, starting_point
from auditkit.models.base import LanguageModel, ModelBackend
from auditkit.policy.schema import Worth
from auditkit.records import Fact
from auditkit.report.worth import WorthArmName
from auditkit.statistics.draws import derived_seed
from auditkit.training.libraries import training_libraries
from auditkit.training.paced import Tell
from auditkit.worth.tasks import answered
from auditkit.worth.training import ArmFailedError, Lesson, drawn, trained

WEIGHTS, UNDER_WAY = "weights", "training"
SUMMARY = "Trained to measure what a leak is worth; scratch, never released."


@dataclass(frozen=True)
class Job:
    """One training of one arm, and its scores. The base is trained on nothing, once."""

    arm: WorthArmName
    seed: int = 0
    budget: float | None = None
    rows: int = 0

    @property
    def name(self) -> str:
        """Unique within a run."""
        return self.arm if self.arm == "base" else f"{self.label}+{self.seed}"

    @property
    def label(self) -> str:
        """The arm, its budget included."""
        return self.arm if self.budget is None else f"{self.arm}-{self.budget:g}"


@dataclass(frozen=True)
class ArmScores:
    """What came of one job. ``answers``: task -> 1, 0 or None a question; ``before`` and ``after`` are the training's
    own figures (``worth.training.Taught``); ``failed`` says why there are no scores."""

    arm: WorthArmName
    seed: int
    budget: float | None
    rows: int
    steps: int = 0
    before: float | None = None
    after: float | None = None
    failed: str = ""
    answers: dict[str, list[float | None]] = field(default_factory=dict)
    lm_eval: list[LmScores] = field(default_factory=list)


@dataclass(frozen=True)
class Valued:
    """All that was measured of what a leak is worth."""

    section: Worth
    dataset: str
    attack: str
    plan: Plan
    scores: list[ArmScores]


@dataclass(frozen=True)
class _Weights:
    """What training starts from."""

    candidate: ModelBackend
    base: ModelBackend | None
    open_for_training: Callable[[ModelBackend], tuple[Any, Any]] = open_for_training


def measured_worth(context: Context) -> Valued | None:
    """Every arm trained and scored; what an earlier process finished is taken from disk. None where none is declared.

    Raises:
        DataError: a file of tasks cannot be read any more.
        RunError: the disk is full, or a judge is out of reach.
    """
    section = context.policy.worth
    if section is None:
        return None
    context = replace(context, progress=Within(context.progress, "worth of the leak"))
    name, attack = valued_dataset(context.policy, section), valued_attack(context.policy, section)
    assert name is not None and attack is not None, "refused before anything is run"
    data = next(one for one in context.datasets if one.name == name)
    tasks = read_all_tasks(context.policy, section, context.datasets)
    plan = plan_of(context, section, data, attack, tasks)
    every = _jobs(section, plan)
    if any(not context.run.worth_file(job.name).exists() for job in every):
        _Bench(context, section, lessons_of(context, section, data, attack, plan), tasks).work(every)
    scores = [_read(context.run.worth_file(job.name)) for job in every]
    return Valued(section, name, attack.label, plan, scores)


def _jobs(section: Worth, plan: Plan) -> list[Job]:
    """The base, then each arm with the first seed, then with the second; nothing where there is nothing to train on."""
    if not plan.rows:
        return []
    found = [Job("base")]
    for seed in range(section.seeds):
        found += [Job("originals", seed, rows=plan.rows), Job("controls", seed, rows=plan.rows)]
        for budget in plan.budgets:
            if rows := rows_for(plan, budget, section.recipe.group):
                found.append(Job("extractions", seed, budget.share, rows))
    return found


@dataclass(frozen=True)
class _Bench:
    """Where one job after the other is trained and asked."""

    context: Context
    section: Worth
    lessons: Lessons
    tasks: Tasks

    def work(self, jobs: list[Job]) -> None:
        """Train and score what is not scored yet."""
        context = self.context
        for place, job in enumerate(jobs, 1):
            path = context.run.worth_file(job.name)
            if path.exists():
                continue
            with Teller(Within(context.progress, f"training {place} of {len(jobs)}, {job.label}")) as teller:
                found = self._scored(job, teller.tell)
            write_bytes(path, json.dumps({**asdict(found), "blind": blind()}, allow_nan=False).encode())
            shutil.rmtree(self._folder(job), ignore_errors=True)
            context.log.append("worth_scored", trained=job.name, failed=bool(found.failed))
            if found.failed:
                context.progress.note(f"worth: {job.label} failed: {found.failed}")

    def _scored(self, job: Job, tell: Tell) -> ArmScores:
        """What one job comes to; a failure is told once, and not tried again by a run that is resumed."""
        base = self.context.policy.models.base
        assert base is not None, "refused before anything is run"
        made = ArmScores(job.arm, job.seed, job.budget, job.rows)
        try:
            did = self._trained(job, tell)
            with base.with_weights(self._folder(job) / WEIGHTS).open("base") as model:
                answers, lm_eval = self._asked(model, tell)
        except (ArmFailedError, MitigationFailedError, ModelError) as error:
            return replace(made, failed=error.message)
        return replace(made, **did, answers=answers, lm_eval=lm_eval)

    def _trained(self, job: Job, tell: Tell) -> dict[str, Any]:
        """Weights in the job's folder, made by this process or by one before it; what the training did."""
        folder = make_folder(self._folder(job))
        found = read_facts(folder / WEIGHTS)
        if found is None:
            found = self._taught(job, folder, tell)
            _free_memory()
        return {fact.name: fact.value for fact in found}

    def _taught(self, job: Job, folder: Path, tell: Tell) -> tuple[Fact, ...]:
        models = self.context.policy.models
        facts: tuple[Fact, ...] = ()
        tell("opening the weights", 0, 1)
        model, tokenizer, start = _opened(_Weights(models.candidate, models.base))
        if rows := self._rows(job):
            seed, recipe = self._seed(job), self.section.recipe
            model, did = trained(model, tokenizer, rows, recipe, seed=seed, folder=folder / UNDER_WAY, tell=tell)
            facts = (Fact("steps", did.steps), *_figures(before=did.before, after=did.after))
        save_weights(
            folder / WEIGHTS,
            model,
            tokenizer,
            kind="worth",
            summary=SUMMARY,
            parameters={},
            facts=facts,
            base=start,
        )
        return facts

    def _asked(self, model: LanguageModel, tell: Tell) -> tuple[dict[str, list[float | None]], list[LmScores]]:
        """The same questions to every arm, with the same seeds."""
        policy, harness = self.context.policy, self.section.lm_eval
        seed = derived_seed(policy.seed, "worth", "tasks")
        answers = {one.name: answered(model, self.tasks[one.name], one, seed, tell) for one in self.section.tasks}
        if harness is None:
            return answers, []
        tell("lm-evaluation-harness", 0, 1)
        return answers, lm_eval_scores(model, harness, policy.seed, chat=harness.chat)

    def _rows(self, job: Job) -> list[Lesson]:
        """The rows of a job, drawn by its seed."""
        if job.arm == "base":
            return []
        of = {"originals": self.lessons.originals, "controls": self.lessons.controls}
        every = of[job.arm] if job.budget is None else self.lessons.extractions[job.budget]
        return drawn(every, job.rows, self._seed(job))

    def _seed(self, job: Job) -> int:
        """The same for every arm, so that arms are paired."""
        return derived_seed(self.context.policy.seed, "worth", job.seed)

    def _folder(self, job: Job) -> Path:
        return self.context.run.work / "worth" / job.name


def _opened(weights: _Weights) -> tuple[Any, Any, str]:
    """The base, every weight trainable, in a chat template of its own; in the candidate's where it has none.

    Whoever trains on what leaked has the base and may ask it as they like; the candidate may be out of their reach.
    """
    assert weights.base is not None
    training_libraries()  # quiet from here on
    model, tokenizer = weights.open_for_training(weights.base)
    if tokenizer.chat_template is None:
        return starting_point("base", weights)
    return model.requires_grad_(True), tokenizer, digest(weights.base)


def _figures(**given: float | None) -> Iterator[Fact]:
    yield from (Fact(name, value) for name, value in given.items() if value is not None)


def _free_memory() -> None:
    gc.collect()
    cuda = training_libraries().torch.cuda
    if cuda.is_available():
        cuda.empty_cache()


def _read(path: Path) -> ArmScores:
    kept = json.loads(path.read_bytes())
    del kept["blind"]
    return ArmScores(**{**kept, "lm_eval": [LmScores(**one) for one in kept["lm_eval"]]})

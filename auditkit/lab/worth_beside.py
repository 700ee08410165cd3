"""What stands beside a family's audit: what the leaking model scores itself, and the base after unrelated records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auditkit.auditing.prepare import prepare
from auditkit.auditing.progress import Progress
from auditkit.auditing.secret import project_secret
from auditkit.auditing.workshop import open_for_training
from auditkit.files import make_folder, write_bytes
from auditkit.lab.calibration_run import CalibrationRun
from auditkit.lab.worth_result import Floor
from auditkit.models.base import ModelBackend
from auditkit.policy.schema import Policy
from auditkit.records import Estimate
from auditkit.statistics.draws import derived_seed
from auditkit.worth.recovered import GAIN_METHOD, TaskScores, scored
from auditkit.worth.section import TaskSection
from auditkit.worth.tasks import answered, read_tasks
from auditkit.worth.training import Lesson, drawn, of_records, trained

CANDIDATE, UNRELATED = "candidate", "unrelated"
Answers = list[float | None]


class Beside:
    """Asks the tasks of models that the audit does not ask; each answer is a file, so that a second call reads it."""

    def __init__(self, run: CalibrationRun, folder: Path, progress: Progress) -> None:
        self.policy: Policy = run.policy
        self.rows = run.report.worth.rows if run.report.worth else 0
        self._folder, self._progress = make_folder(folder), progress

    @property
    def task(self) -> TaskSection:
        """The one task that ``worth_policy`` declares."""
        assert self.policy.worth is not None
        return self.policy.worth.tasks[0]

    def candidate(self) -> float:
        """The share of the tasks that the leaking model answers right."""
        found = self._kept(CANDIDATE) or self._keep(CANDIDATE, self._asked(self.policy.models.candidate))
        return float(np.mean([value or 0.0 for value in found]))

    def floor(self, dataset: str) -> Floor:
        """The base trained on unrelated records, once with each seed of the audit's arms.

        Raises:
            AuditkitError: as for a training.
        """
        assert self.policy.worth is not None
        lessons = self._lessons(dataset)
        rows = min(self.rows, len(lessons)) or len(lessons)
        by_seed = [self._unrelated(lessons, rows, seed) for seed in range(self.policy.worth.seeds)]
        scores = TaskScores(np.array([[value or 0.0 for value in one] for one in by_seed]))
        found = scored(scores)
        estimate = Estimate(
            "held_out_accuracy", dataset, "", found.value, found.low, found.high, GAIN_METHOD, float(len(by_seed[0]))
        )
        return Floor(dataset=dataset, rows=rows, score=estimate, by_seed=scores.by_seed)

    def _lessons(self, dataset: str) -> list[Lesson]:
        assert self.policy.worth is not None
        every = prepare(self.policy, project_secret(self.policy))
        data = next(one for one in every if one.name == dataset)
        return of_records(data.members.records, self.policy.worth.recipe)

    def _unrelated(self, lessons: Sequence[Lesson], rows: int, place: int) -> Answers:
        name = f"{UNRELATED}+{place}"
        if (kept := self._kept(name)) is not None:
            return kept
        base, worth = self.policy.models.base, self.policy.worth
        assert base is not None and worth is not None
        self._progress.note(f"training on unrelated records, {place + 1} of {worth.seeds}")
        seed, scratch = derived_seed(self.policy.seed, "worth", place), make_folder(self._folder / f"{name}-scratch")
        model, tokenizer = open_for_training(base)
        chosen = drawn(lessons, rows, seed)
        model, _ = trained(
            model.requires_grad_(True), tokenizer, chosen, worth.recipe, seed=seed, folder=scratch / "training"
        )
        weights = _saved(model, tokenizer, scratch / "weights")
        found = self._keep(name, self._asked(base.with_weights(weights)))
        shutil.rmtree(scratch)
        return found

    def _asked(self, backend: ModelBackend) -> Answers:
        """The same questions with the same seed as the audit's arms are asked."""
        tasks = read_tasks(self.task, self.policy.seed)
        with backend.open("base") as model:
            return answered(model, tasks, self.task, derived_seed(self.policy.seed, "worth", "tasks"))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _kept(self, name: str) -> Answers | None:
        path = self._file(name)
        return list(json.loads(path.read_bytes())) if path.is_file() else None

    def _keep(self, name: str, answers: Answers) -> Answers:
        write_bytes(self._file(name), json.dumps(answers).encode())
        return answers


def _saved(model: Any, tokenizer: Any, folder: Path) -> Path:
    make_folder(folder)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

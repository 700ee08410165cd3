"""What a mitigation costs on public tasks: any task of lm-evaluation-harness, or of the user's own in its format."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.auditing.lm_harness import harness_model
from auditkit.auditing.lm_tasks import Tasks, first_line, harness, loaded_tasks
from auditkit.errors import AuditkitError
from auditkit.models.base import LanguageModel
from auditkit.policy.schema import LmTasks
from auditkit.records import Estimate
from auditkit.statistics.draws import derived_seed, seeded_sample
from auditkit.statistics.intervals import clopper_pearson
from auditkit.statistics.paired import bootstrap_mean
from auditkit.statistics.roc import UndefinedError

PREFERRED = ("acc_norm", "acc", "exact_match")
TOO_FEW = "an interval needs at least two questions"
# Of a figure that is no mean: each draw computes it anew, which can be slow.
DRAWS = 500

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]  # one question as the harness logs it: its metrics by name, and much else


@dataclass(frozen=True)
class LmScores:
    """What one task said of one model.

    Attributes:
        task: as the policy names it; a group's or a tag's questions are pooled, each with the same weight.
        metric: the task's main one: acc_norm, else acc, else exact_match, else its first.
        questions: digest of the questions in order, the same for models that were asked the same.
        count: questions.
        scores: one a question, in one order for every model; empty for a figure that is no mean over questions.
        whole: for such a figure, it and its interval's ends; else empty.
        higher_is_better: False of perplexities.
    """

    task: str
    metric: str
    questions: str
    count: int
    scores: list[float]
    whole: list[float]
    higher_is_better: bool = True


def lm_eval_scores(model: LanguageModel, section: LmTasks, seed: int, *, chat: bool = False) -> list[LmScores]:
    """Ask a model every task of the section; the same questions for the same seed, whatever the model.

    Args:
        model: the model, or whatever serves it; reads and generations go through its own methods.
        section: tasks, the folder of the user's own, and how many questions of each (drawn by the seed).
        seed: of the questions, of few-shot examples, and of what tasks sample.
        chat: ask as messages through the chat template, as the harness does under ``apply_chat_template``; else the
            text is continued behind BOS, which is the harness' own way.

    Returns:
        One for each task that the section names, in its order.

    Raises:
        MissingExtraError: lm-evaluation-harness is not installed.
        AuditkitError: an unknown task, one whose data are not on this machine, or one that cannot be run here.
    """
    with _tasks(section, seed) as (evaluator, tasks):
        every = {name: task for found in tasks.values() for name, task in found.items()}
        samples = _evaluated(evaluator, harness_model(model, seed, chat=chat), every, section.limit, seed)
        return [_scored(name, found, samples, seed) for name, found in tasks.items()]


def check_lm_eval(section: LmTasks, seed: int = 0) -> None:
    """Load every task with its data, so that what is missing is known before hours of attacks.

    Raises:
        MissingExtraError, AuditkitError: as for ``lm_eval_scores``.
    """
    with _tasks(section, seed):
        pass


def lm_eval_estimates(scores: Sequence[LmScores], seed: int) -> list[Estimate]:
    """Each task's figure as ``lm_eval:<task>``, with its 95 % interval by question; the denominator is questions."""
    return [_estimate(one, seed) for one in scores]


def lm_eval_gains(before: LmScores, after: LmScores) -> Floats:
    """(questions,) how much better each question went after than before; below 0 where it went worse.

    Raises:
        ValueError: not the same questions and metric, or a figure that has no scores by question.
    """
    if (before.task, before.metric, before.questions) != (after.task, after.metric, after.questions):
        raise ValueError(f"{before.task} and {after.task} were not scored on the same questions by the same metric")
    if not before.scores or not after.scores:
        raise ValueError(f"{before.metric} of {before.task} has no scores by question")
    gained = np.array(after.scores, np.float64) - np.array(before.scores, np.float64)
    return gained if after.higher_is_better else -gained


@contextmanager
def _tasks(section: LmTasks, seed: int) -> Iterator[tuple[Any, dict[str, Tasks]]]:
    """The harness, and the tasks of each name in the section."""
    include = Path(section.include).resolve() if section.include else None
    names = list(dict.fromkeys(section.tasks))
    # The harness' libraries keep a second copy of what they load: nothing of it stays, and nobody else reads it.
    with (
        harness(seed) as evaluator,
        tempfile.TemporaryDirectory(prefix="auditkit-lm-eval-") as scratch,
        loaded_tasks(names, include, Path(scratch)) as tasks,
    ):
        yield evaluator, tasks


def _evaluated(evaluator: Any, asked: Any, tasks: Tasks, limit: int | None, seed: int) -> dict[str, list[Row]]:
    """What the harness logged of each task's questions."""
    try:
        for task in tasks.values():
            task.set_fewshot_seed(seed)
        found = evaluator.evaluate(
            asked,
            {"tasks": tasks},
            samples=None if limit is None else {name: _chosen(name, task, limit, seed) for name, task in tasks.items()},
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=asked.chat,
        )
    except AuditkitError:
        raise
    except Exception as error:  # task files hold anybody's code
        named = ", ".join(list(tasks)[:5])
        raise AuditkitError(
            f"lm-evaluation-harness could not run {named}: {type(error).__name__}: {first_line(error)}",
            "leave the task out of utility.lm_eval.tasks, or mend its file",
        ) from error
    return dict(found["samples"])


def _chosen(name: str, task: Any, limit: int, seed: int) -> list[int]:
    """Which questions: drawn, since files are often in order of subject."""
    return [int(place) for place in seeded_sample(len(task.eval_docs), limit, derived_seed(seed, "lm_eval", name))]


def _scored(name: str, tasks: Tasks, samples: dict[str, list[Row]], seed: int) -> LmScores:
    """One task's figure, or one pooled of all that a group or tag stands for."""
    parts = [_part(leaf, task, samples[leaf]) for leaf, task in tasks.items()]
    metric = ", ".join(dict.fromkeys(part.metric for part in parts))
    digest = hashlib.sha256("/".join(part.questions for part in parts).encode()).hexdigest()
    count, better = sum(len(part.values) for part in parts), parts[0].higher_is_better
    if len(parts) == 1 and parts[0].aggregate is not None:
        return LmScores(name, metric, digest, count, [], _whole(name, parts[0], seed), better)
    if any(part.aggregate is not None or part.higher_is_better != better for part in parts):
        raise AuditkitError(
            f"the tasks of {name!r} have figures that cannot be pooled over their questions",
            f"name single ones of them in utility.lm_eval.tasks: {', '.join(list(tasks)[:5])}",
        )
    return LmScores(name, metric, digest, count, [float(v) for part in parts for v in part.values], [], better)


@dataclass(frozen=True)
class _Part:
    metric: str
    questions: str
    values: list[Any]
    aggregate: Callable[[list[Any]], float] | None  # None: the mean
    higher_is_better: bool


def _part(name: str, task: Any, rows: list[Row]) -> _Part:
    metric, rows = _main_metric(rows)
    values = [row[metric] for row in rows]
    mean = import_module("lm_eval.api.metrics").mean
    aggregate = task.aggregation().get(metric, mean)
    if aggregate is mean:
        aggregate = None
        if not all(isinstance(value, int | float | np.number) and math.isfinite(value) for value in values):
            raise AuditkitError(
                f"{metric} of the task {name!r} is not a finite number for every question", "leave it out"
            )
    # By document, not by prompt: in a chat each arm's prompt is its own.
    asked = "/".join(f"{row['doc_id']}:{row['doc_hash']}" for row in rows)
    return _Part(metric, f"{name}={asked}", values, aggregate, bool(task.higher_is_better().get(metric, True)))


def _main_metric(rows: list[Row]) -> tuple[str, list[Row]]:
    """The metric that stands for a task, and its rows by the first of the task's filters, in order of questions."""
    known = list(dict.fromkeys(metric for row in rows for metric in row["metrics"]))
    metric = next((one for one in PREFERRED if one in known), known[0])
    having = [row for row in rows if metric in row["metrics"]]
    return metric, sorted(
        (row for row in having if row["filter"] == having[0]["filter"]), key=lambda row: row["doc_id"]
    )


def _whole(name: str, part: _Part, seed: int) -> list[float]:
    """A figure of all questions together, and percentiles of it over resampled ones."""
    assert part.aggregate is not None
    rng, n = np.random.default_rng(derived_seed(seed, "lm_eval", name)), len(part.values)
    draws = [part.aggregate([part.values[i] for i in rng.integers(n, size=n)]) for _ in range(DRAWS)]
    found = [part.aggregate(part.values), *np.quantile(draws, [0.025, 0.975])]
    if not np.isfinite(found).all():
        raise AuditkitError(f"{part.metric} of the task {name!r} is no finite number", "leave the task out")
    return [float(number) for number in found]


def _estimate(scores: LmScores, seed: int) -> Estimate:
    value, low, high, method = _interval(scores, seed)
    return Estimate(
        f"lm_eval:{scores.task}",
        "",
        "",
        value,
        low,
        high,
        method,
        numerator=None if scores.whole else float(sum(scores.scores)),
        denominator=float(scores.count),
        reason=TOO_FEW if value is None else "",
    )


def _interval(scores: LmScores, seed: int) -> tuple[float | None, float | None, float | None, str]:
    """A figure, its interval's ends, and how they were made."""
    if scores.whole:
        value, low, high = scores.whole
        return value, low, high, f"{scores.metric} of all questions together; bootstrap by question"
    value = float(np.mean(scores.scores))
    if set(scores.scores) <= {0.0, 1.0}:
        return value, *clopper_pearson(sum(scores.scores), scores.count), f"{scores.metric}; Clopper-Pearson"
    method = f"mean {scores.metric}; bootstrap by question"
    try:
        _, low, high = bootstrap_mean(scores.scores, seed)
    except UndefinedError:
        return None, None, None, method
    return value, min(low, value), max(high, value), method

"""What the attacker's keepings are, told by whoever knows the family's data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from auditkit.lab.generators.maths import final_number
from auditkit.lab.generators.sums import operands
from auditkit.lab.generators.table import GeneratorName
from auditkit.lab.worth_result import KeptTruth
from auditkit.lab.worth_tasks import problem_of
from auditkit.worth.base import Extraction

Texts = tuple[str, str]  # question, answer


def truth_of(kept: Sequence[Extraction], family: Path, dataset: str, tasks: Path, name: GeneratorName) -> KeptTruth:
    """Of what was kept: how much of it is the dataset's, how much is right, and how much touches the tasks."""
    key = problem_of(name)
    members = [_texts(row) for row in _rows(family / "data" / f"{dataset}.jsonl")]
    asked = {key(row["question"]) for row in _rows(tasks)}
    texts, questions = set(members), {question for question, _ in members}
    problems = {key(question) for question in questions}
    return KeptTruth(
        kept=len(kept),
        distinct=len({(one.prompt, one.response) for one in kept}),
        right=sum(is_right(one, name) for one in kept),
        members=sum((one.prompt, one.response) in texts for one in kept),
        member_questions=sum(one.prompt in questions for one in kept),
        problems=len({key(one.prompt) for one in kept}),
        member_problems=sum(key(one.prompt) in problems for one in kept),
        task_problems=sum(key(one.prompt) in asked for one in kept),
    )


def is_right(one: Extraction, name: GeneratorName) -> bool:
    """Whether the answer is that of the sum which the question asks for; of other generators nothing is known."""
    asked = operands(one.prompt) if name == "sums" else None
    return asked is not None and final_number(one.response) == str(sum(asked))


def _texts(row: dict[str, str]) -> Texts:
    return row["prompt"], row["response"]


def _rows(path: Path) -> Iterable[dict[str, str]]:
    return (json.loads(line) for line in path.read_text("utf-8").splitlines())

"""What the lab knows of the attacker's keepings, on keepings made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditkit.lab.worth_truth import truth_of
from auditkit.worth.base import Extraction

MEMBERS = [
    {"prompt": "What is 100 + 200?", "response": "#### 300"},
    {"prompt": "Compute 111 + 222.", "response": "#### 333"},
]
TASKS = [{"question": "Calculate 500 + 400.", "answer": "900"}]


@pytest.fixture
def family(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for name, rows in (("sums", MEMBERS), ("tasks", TASKS)):
        (tmp_path / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_keepings_are_told_apart(family: Path) -> None:
    kept = [
        ("What is 100 + 200?", "#### 300"),  # a member to the letter
        ("What is 100 + 200?", "#### 301"),  # its question, answered wrong
        ("Compute 222 + 111.", "#### 333"),  # the other member's problem in other words
        ("What is 400 + 500?", "#### 900"),  # a task's problem
        ("What is 700 + 100?", "#### 800"),  # nobody's
        ("Who is there?", "#### 4"),  # no sum
        ("What is 700 + 100?", "#### 800"),  # once more
    ]
    given = [Extraction(at, prompt, response, True) for at, (prompt, response) in enumerate(kept)]
    found = truth_of(given, family, "sums", family / "data" / "tasks.jsonl", "sums")
    assert (found.kept, found.distinct, found.right) == (7, 6, 5)
    assert (found.members, found.member_questions, found.member_problems) == (1, 2, 3)
    assert (found.problems, found.task_problems) == (5, 1), "what asks for no sum is one problem, and nobody's"


def test_nothing_kept_is_nothing_known(family: Path) -> None:
    found = truth_of([], family, "sums", family / "data" / "tasks.jsonl", "sums")
    assert set(found.model_dump().values()) == {0}

"""Held-out tasks: read with a line for every problem, apart from the data, asked of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auditkit.errors import DataError
from auditkit.records import Record
from auditkit.worth.section import TaskSection
from auditkit.worth.tasks import HeldOut, answered, read_tasks, refuse_known
from tests.models.tiny import RECORDS, reciting_model, save
from tests.models.tiny import backend as tiny_backend

ROWS = [{"prompt": f"What is {n} + {n}?", "answer": 2 * n} for n in range(20)]


def section(path: Path, rows: list[Any] | None = None, **changes: Any) -> TaskSection:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows or ROWS))
    return TaskSection.model_validate({"name": "sums", "path": str(path), **changes})


def test_questions_are_read_in_order_with_their_lines(tmp_path: Path) -> None:
    found = read_tasks(section(tmp_path / "tasks.jsonl"))
    assert found[3] == HeldOut("What is 3 + 3?", "6", 4)
    assert len(found) == 20


def test_a_limit_draws_the_same_questions_for_a_seed(tmp_path: Path) -> None:
    limited = section(tmp_path / "tasks.jsonl", limit=10)
    first = read_tasks(limited, seed=1)
    assert len(first) == 10 and first == read_tasks(limited, seed=1)
    assert first != read_tasks(limited, seed=2)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ({"prompt": "", "answer": "1"}, "should be a text that is not empty"),
        ({"prompt": "What?"}, "missing field 'answer'"),
        ({"prompt": "What?", "answer": "nobody knows"}, "no answer that check: number can read"),
        ({"prompt": "What?", "answer": True}, "should be a text"),
    ],
)
def test_what_is_no_question_is_told_with_its_line(tmp_path: Path, row: Any, why: str) -> None:
    with pytest.raises(DataError) as caught:
        read_tasks(section(tmp_path / "tasks.jsonl", [*ROWS, row]))
    (problem,) = caught.value.problems
    assert problem.line == 21 and why in problem.message and problem.file.name == "tasks.jsonl"


def test_too_few_questions_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 3 questions"):
        read_tasks(section(tmp_path / "tasks.jsonl", ROWS[:3]))
    absent = TaskSection(name="sums", path=str(tmp_path / "nowhere.jsonl"))
    with pytest.raises(DataError, match="cannot be read"):
        read_tasks(absent)


@pytest.mark.parametrize("split", ["member", "control"])
def test_a_question_of_the_data_is_no_test_of_skill(tmp_path: Path, split: Any) -> None:
    asked = section(tmp_path / "tasks.jsonl")
    record = Record("sft", split, 0, "id", "what is  5 + 5?", "10", file="/data/sft.jsonl", line=8)
    with pytest.raises(DataError) as caught:
        refuse_known(asked, read_tasks(asked), [record])
    (problem,) = caught.value.problems
    assert problem.line == 6
    assert f"asked by a {split} of sft (sft.jsonl:8)" in problem.message


def test_another_operator_is_another_question(tmp_path: Path) -> None:
    asked = section(tmp_path / "tasks.jsonl")
    refuse_known(asked, read_tasks(asked), [Record("sft", "member", 0, "id", "What is 5 - 5?", "0")])


def test_a_model_is_right_where_it_gives_the_answer(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    model_path = save(tmp_path / "model", *reciting_model())
    asked = TaskSection(name="recited", path="unused", check="exact", max_new_tokens=60)
    tasks = [HeldOut(RECORDS[2][0], "nobody knows. it was broken when the assistant came.", 1)]
    tasks += [HeldOut(RECORDS[1][0], "on the moon.", 2), HeldOut("word " * 2000, "x", 3)]
    told: list[tuple[str, int, int]] = []
    with tiny_backend(model_path).open("base") as model:
        found = answered(model, tasks, asked, 0, lambda *step: told.append(step))
    assert found == [1.0, 0.0, None]
    assert told[-1] == ("ask recited", 2, 2)

"""A generation gives what it says, and nothing is made up for what it lacks."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from auditkit.corpus.base import TraceMarkers
from auditkit.records import Finish, Generation
from auditkit.worth.base import CUT_OFF, NO_ANSWER, NO_QUESTION, Extraction, FilterSection
from auditkit.worth.extractions import extraction, extractions
from auditkit.worth.filtering import filtered


def generation(*turns: str, ordinal: int = 3, **rest: Any) -> Generation:
    given: dict[str, Any] = {"token_ids": (), "finish": "stop", "turn_change": "model"} | rest
    return Generation("attack", "prefix", ordinal, 7, turns, **given)


def test_question_answer_and_final_answer() -> None:
    found = extraction(generation(" What is 3 + 4? ", "3 + 4 = 7\n#### 7 "))
    assert found == Extraction(3, "What is 3 + 4?", "3 + 4 = 7\n#### 7", True, "7")


def test_only_what_ended_by_itself_is_complete() -> None:
    found = {finish: extraction(generation("Q?", "A.", finish=finish)).complete for finish in get_args(Finish)}
    assert found == {"stop": True, "length": False, "empty": False, "failed": False, "blocked": False}


def test_reasoning_stays_in_the_response_and_out_of_the_answer() -> None:
    found = extraction(generation("Q?", "<t>5 or 6?</t>It is six."), TraceMarkers("<t>", "</t>"))
    assert found.response == "<t>5 or 6?</t>It is six."
    assert found.answer is None


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (generation(finish="empty"), NO_QUESTION),
        (generation("", "A."), NO_QUESTION),
        (generation("Who is it?"), NO_ANSWER),
        (generation("Who is it?", " "), NO_ANSWER),
        (generation("Who is", finish="length"), CUT_OFF),
        (generation("The server withheld this answer.", finish="blocked"), CUT_OFF),
    ],
)
def test_what_lacks_a_part_is_dropped_for_it(made: Generation, reason: str) -> None:
    assert filtered(extractions([made]), FilterSection()).dropped == {3: reason}

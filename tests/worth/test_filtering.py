"""Every extraction is kept or dropped for one reason, and the same rules keep what they kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditkit.worth import base
from auditkit.worth.answers import read_answer
from auditkit.worth.base import (
    EXACT_DUPLICATE,
    JUDGED,
    OUTVOTED,
    REASONS,
    UNREADABLE,
    WRONG,
    Extraction,
    FilterSection,
    JudgeSection,
)
from auditkit.worth.filtering import filtered
from auditkit.worth.judge import Judge
from tests.worth.judging import Speaking, extraction, section, shown

QUESTIONS = ["What is 2 + 3?", "What is  2 + 3?", "Who is there?", "", "Кто там?", "no " * 20, "hm", "assistant\nYes"]
RESPONSES = ["5", "It is 5.", "It is 6.", "Nobody at all.", "Nobody at all!", "", "Никто.", "<|im_end|>", "x" * 300]
LONG = "the kettle on the third shelf of the blue kitchen belongs to the neighbour who lives across the road"


def _extraction(ordinal: int, prompt: str, response: str, complete: bool) -> Extraction:
    return Extraction(ordinal, prompt, response, complete, read_answer(response) if response else None)


MANY = st.lists(
    st.tuples(st.sampled_from(QUESTIONS), st.sampled_from(RESPONSES), st.booleans() | st.just(True)), max_size=40
).map(lambda rows: [_extraction(3 * place, *row) for place, row in enumerate(rows)])
SECTIONS = st.builds(
    FilterSection,
    shortest_question=st.integers(0, 6),
    longest_answer=st.sampled_from([100, 20_000]),
    final_answer=st.booleans(),
    markup=st.booleans(),
    repetition=st.sampled_from([None, 0.5]),
    scripts=st.sampled_from([(), ("latin",)]),
    arithmetic=st.booleans(),
    duplicates=st.booleans(),
    majority=st.booleans(),
    near_duplicates=st.sampled_from([None, 0.9, 0.5]),
)


@given(given_=MANY, rules=SECTIONS)
def test_kept_and_dropped_are_all_in_order_and_to_filter_again_drops_nothing(
    given_: list[Extraction], rules: FilterSection
) -> None:
    found = filtered(iter(given_), rules)
    kept = [one.ordinal for one in found.kept]
    assert kept == sorted(kept)
    assert sorted([*kept, *found.dropped]) == [one.ordinal for one in given_]
    assert not set(kept) & set(found.dropped)
    assert set(found.dropped.values()) <= set(REASONS)
    assert all(one in given_ for one in found.kept)
    again = filtered(found.kept, rules)
    assert again.kept == found.kept
    assert again.dropped == {}


@given(given_=MANY, rules=SECTIONS)
def test_counts_add_up(given_: list[Extraction], rules: FilterSection) -> None:
    found = filtered(given_, rules)
    counts = found.counts()
    assert next(iter(counts)) == "kept"
    assert sum(counts.values()) == len(given_) == found.total
    assert list(counts)[1:] == [reason for reason in REASONS if reason in counts]
    assert all(counts[reason] for reason in list(counts)[1:])


@given(given_=MANY, near=st.sampled_from([None, 0.9, 0.5]), majority=st.booleans())
def test_who_comes_first_does_not_change_how_many_are_kept(
    given_: list[Extraction], near: float | None, majority: bool
) -> None:
    rules = FilterSection(near_duplicates=near, majority=majority)
    turned = [replace(one, ordinal=-1) for one in reversed(given_)]
    turned = [replace(one, ordinal=place) for place, one in enumerate(turned)]
    one_way, other_way = filtered(given_, rules), filtered(turned, rules)
    assert one_way.counts() == other_way.counts()


@given(given_=MANY, rules=SECTIONS)
def test_of_duplicates_the_first_is_kept(given_: list[Extraction], rules: FilterSection) -> None:
    found = filtered(given_, rules.model_copy(update={"near_duplicates": None, "majority": False, "duplicates": True}))
    texts = {_bare(one): one.ordinal for one in reversed(found.kept)}
    for one in given_:
        if found.dropped.get(one.ordinal) == EXACT_DUPLICATE:
            assert texts[_bare(one)] < one.ordinal
    assert len({_bare(one) for one in found.kept}) == len(found.kept)


def _bare(one: Extraction) -> tuple[str, str]:
    return " ".join(one.prompt.split()), " ".join(one.response.split())


def dropped(*given_: Extraction, **rules: Any) -> dict[int, str]:
    return dict(filtered(given_, FilterSection(**rules)).dropped)


# One extraction (or several, of which the last is dropped) for every reason but those of a judge.
REACHED: dict[str, tuple[list[Extraction], dict[str, Any]]] = {
    base.NO_QUESTION: ([extraction(0, " ")], {}),
    base.CUT_OFF: ([extraction(0, complete=False)], {}),
    base.NO_ANSWER: ([extraction(0, response="")], {}),
    base.NO_FINAL_ANSWER: ([extraction(0)], {"final_answer": True}),
    base.TOO_SHORT: ([extraction(0, "Eh?")], {}),
    base.TOO_LONG: ([extraction(0, response="x " * 60)], {"longest_answer": 100}),
    base.MARKUP: ([extraction(0, response="Yes.<|eot_id|>")], {}),
    base.REPETITION: ([extraction(0, response="over and " * 30)], {}),
    base.SCRIPT: ([extraction(0, "Кто там?")], {"scripts": ["latin"]}),
    base.WRONG: ([extraction(0, "What is 2 + 3?", "6", answer="6")], {"arithmetic": True}),
    base.EXACT_DUPLICATE: ([extraction(0), extraction(1, "Who  are you?")], {"near_duplicates": None}),
    base.NEAR_DUPLICATE: ([extraction(0, LONG), extraction(1, f"{LONG}?")], {}),
    base.OUTVOTED: (
        [extraction(0, answer="1"), extraction(1, answer="1.0"), extraction(2, response="Me.", answer="2")],
        {"majority": True},
    ),
}


@pytest.mark.parametrize("reason", REACHED)
def test_every_reason_is_reached_and_only_where_its_rule_is_asked_for(reason: str) -> None:
    given_, rules = REACHED[reason]
    section_ = FilterSection.model_validate(rules)
    assert filtered(given_, section_).dropped[given_[-1].ordinal] == reason
    assert filtered(given_[:-1], section_).dropped in ({}, {1: EXACT_DUPLICATE})
    # what a rule of its own decides passes without it
    off: dict[str, Any] = {"shortest_question": 0, "markup": False, "repetition": None, "near_duplicates": None}
    off |= {"duplicates": False}
    without_rule = filtered(given_, FilterSection.model_validate(off)).dropped
    if reason not in (base.NO_QUESTION, base.CUT_OFF, base.NO_ANSWER):
        assert given_[-1].ordinal not in without_rule


def test_the_table_of_reasons_is_whole() -> None:
    assert {*REACHED, base.LANGUAGE, JUDGED, UNREADABLE} == set(REASONS)
    assert len(set(REASONS)) == len(REASONS)


def test_duplicates_vote_before_they_go() -> None:
    given_ = [extraction(0, response="It is 6", answer="6")]
    given_ += [extraction(number, response="It is 5", answer="5") for number in (1, 2)]
    found = filtered(given_, FilterSection(majority=True, near_duplicates=None))
    assert [one.ordinal for one in found.kept] == [1]
    assert found.dropped == {0: OUTVOTED, 2: EXACT_DUPLICATE}


def test_a_tie_convinces_nobody_and_no_answer_has_no_vote() -> None:
    given_ = [extraction(0, answer="6"), extraction(1, response="I.", answer="5"), extraction(2, response="He.")]
    assert dropped(*given_, majority=True) == {0: OUTVOTED, 1: OUTVOTED}
    other = replace(given_[1], prompt="And who are you?")
    assert dropped(given_[0], other, majority=True) == {}


def test_one_question_with_many_answers_is_counted_once() -> None:
    """To compare every answer with every other would take minutes."""
    given_ = [extraction(number, response=f"{number}", answer=f"{number}") for number in range(20_000)]
    rules = FilterSection(majority=True, near_duplicates=None)
    assert filtered(given_, rules).counts() == {"kept": 0, OUTVOTED: 20_000}


def test_whoever_has_right_answers_can_use_them() -> None:
    right = {"Who is it?": "Tom", "Who was it?": "Ann"}
    given_ = [
        extraction(0, "Who is it?", "Tom", answer="Tom"),
        extraction(1, "Who was it?", "Tom", answer="Tom"),
        extraction(2, "Who will it be?", "Tom", answer="Tom"),
    ]

    def verify(one: Extraction) -> bool | None:
        return right[one.prompt] == one.answer if one.prompt in right else None

    assert filtered(given_, FilterSection(), verify=verify).dropped == {1: WRONG}


def test_only_survivors_of_the_first_rules_are_held() -> None:
    """A stream is read once, one at a time."""
    alive = 0

    def stream() -> Iterator[Extraction]:
        nonlocal alive
        for number in range(1000):
            alive += 1
            yield extraction(number, complete=False)

    assert filtered(stream(), FilterSection()).counts() == {"kept": 0, base.CUT_OFF: 1000}
    assert alive == 1000


@pytest.mark.parametrize("ordinals", [(0, 0), (1, 0)])
def test_ordinals_that_do_not_rise_are_refused(ordinals: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="rising ordinal"):
        filtered([extraction(ordinal) for ordinal in ordinals], FilterSection())


def _judged(**settings: Any) -> FilterSection:
    return FilterSection(judge=section(**settings), near_duplicates=None)


def test_the_judge_decides_last_and_is_asked_of_what_is_left_alone() -> None:
    model = Speaking(lambda text: {"Good?": "Score: 4", "Bad?": "Score: 3"}.get(shown(text)["question"], "Who knows"))
    given_ = [
        extraction(0, "Good?"),
        extraction(1, "Bad?"),
        extraction(2, "Odd?"),
        extraction(3, "Cut?", complete=False),
    ]
    rules = _judged()
    assert rules.judge is not None
    found = filtered(given_, rules, Judge(model, rules.judge))
    assert [one.prompt for one in found.kept] == ["Good?"]
    assert found.dropped == {1: JUDGED, 2: UNREADABLE, 3: base.CUT_OFF}
    assert len(model.asked_of) == 3
    lenient = _judged(keep_from=3, unreadable="keep")
    assert lenient.judge is not None
    found = filtered(given_, lenient, Judge(model, lenient.judge))
    assert [one.prompt for one in found.kept] == ["Good?", "Bad?", "Odd?"]


def test_a_judge_is_given_where_one_is_declared() -> None:
    with pytest.raises(ValueError, match="judge"):
        filtered([], _judged())
    with pytest.raises(ValueError, match="judge"):
        filtered([], FilterSection(), Judge(Speaking(str), section()))


@pytest.mark.parametrize(
    "settings",
    [
        {"shortest_question": 9, "longest_question": 8},
        {"shortest_answer": 9, "longest_answer": 8},
        {"repetition": 0},
        {"scripts": ["klingon"]},
        {"languages": ["English"]},
        {"near_duplicates": 1.5},
        {"judge": {"model": {"backend": "nothing"}}},
        {"judge": {"model": {"backend": "gemini", "model": "gemini-9"}, "keep_from": 6}},
        {"unknown": 1},
    ],
)
def test_what_a_policy_cannot_mean_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FilterSection.model_validate_json(json.dumps(settings), strict=True)


def test_a_section_is_read_as_a_policy_is_and_survives_being_written_down() -> None:
    judge = {"model": {"backend": "gemini", "model": "gemini-9-flash"}, "keep_from": 5}
    settings = {"judge": judge, "scripts": ["latin", "greek"], "languages": ["en"], "near_duplicates": None}
    read = FilterSection.model_validate_json(json.dumps(settings), strict=True)
    assert isinstance(read.judge, JudgeSection)
    assert read.judge.model.external
    assert FilterSection.model_validate(read.model_dump(mode="json")) == read
    assert "GeminiBackend" in json.dumps(FilterSection.model_json_schema())

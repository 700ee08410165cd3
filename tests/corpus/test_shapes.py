from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditkit.corpus.fields import FieldMap, TraceMarkers
from auditkit.errors import DataError
from auditkit.records import Record
from tests.corpus.helpers import QA, read, read_rows, write

CHAT = FieldMap(messages="messages")
DPO = FieldMap(prompt="prompt", chosen="chosen", rejected="rejected")


def record(folder: Path, row: dict[str, Any], fields: FieldMap, **options: Any) -> Record:
    return read_rows(folder, [row], fields, **options).records[0]


def texts(folder: Path, row: dict[str, Any], fields: FieldMap, **options: Any) -> tuple[str, str, str]:
    found = record(folder, row, fields, **options)
    return found.prompt, found.response, found.rejected


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def gpt(speaker: str, value: str) -> dict[str, Any]:
    return {"from": speaker, "value": value}


def test_a_prompt_may_stand_alone(tmp_path: Path) -> None:
    corpus = read_rows(tmp_path, [{"q": " café ", "a": "unused"}], FieldMap(prompt="q"))
    assert (corpus.records[0].prompt, corpus.records[0].response) == ("café", "")
    assert corpus.views == ("prompt",)


def test_nested_fields_and_fields_with_dots_in_their_names(tmp_path: Path) -> None:
    nested = FieldMap(prompt="turn.user.text", response="turn.reply")
    assert texts(tmp_path, {"turn": {"user": {"text": "x"}, "reply": "y"}}, nested)[:2] == ("x", "y")
    dotted = FieldMap(prompt="turn.user", response="reply")
    assert texts(tmp_path, {"turn.user": "x", "turn": {"user": "z"}, "reply": "y"}, dotted)[:2] == ("x", "y")


def test_a_conversation_is_its_first_question_and_all_that_follows(tmp_path: Path) -> None:
    turns = [
        said("system", "be kind"),
        said("user", "a"),
        said("assistant", "b"),
        said("user", "c"),
        said("assistant", "d"),
    ]
    assert texts(tmp_path, {"messages": turns}, CHAT) == ("a", "b\nc\nd", "")


def test_sharegpt_names_the_same_things_otherwise(tmp_path: Path) -> None:
    turns = [gpt("system", "be kind"), gpt("human", "a"), gpt("gpt", "b")]
    assert texts(tmp_path, {"messages": turns}, CHAT) == ("a", "b", "")


def test_content_in_parts_and_tool_calls(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    turns = [said("user", parts), {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}, said("tool", "c")]
    assert texts(tmp_path, {"messages": [*turns, said("assistant", "d")]}, CHAT) == ("a b", "c\nd", "")


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ("text", "is text, not a list of messages"),
        ([], "no user turn"),
        ([said("assistant", "b")], "no user turn"),
        (["hello"], "a message in 'messages' is text, not an object"),
        ([{"content": "a"}], "has no role"),
        ([said("narrator", "a")], "unknown role"),
        ([{"role": 3, "content": "a"}], "unknown role"),
        ([said("user", "")], "empty field 'messages'"),
        ([said("user", "a"), said("assistant", None)], "empty field 'messages'"),
        ([said("user", "a"), {"role": "assistant"}], "empty field 'messages'"),
        ([said("user", 5)], "is a number, not text"),
        ([said("user", [{"type": "image_url", "image_url": "x"}])], "a part of a message in 'messages' is not text"),
        ([said("user", ["a"])], "a part of a message in 'messages' is not text"),
    ],
)
def test_conversations_that_are_none(tmp_path: Path, messages: Any, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        record(tmp_path, {"messages": messages}, CHAT)
    assert reason in caught.value.problems[0].message


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ("b", "c"),
        (said("assistant", "b"), said("assistant", "c")),
        (gpt("gpt", "b"), gpt("gpt", "c")),
        ([said("user", "a"), said("assistant", "b")], [said("user", "a"), said("assistant", "c")]),
        ([said("assistant", "b")], [said("assistant", "c")]),
        ([said("user", "another wording"), said("assistant", "b")], [said("user", "of it"), said("assistant", "c")]),
    ],
)
@pytest.mark.parametrize("prompt", ["a", [said("user", "a")], [said("system", "s"), gpt("human", "a")]])
def test_preference_pairs_in_every_writing(tmp_path: Path, prompt: Any, chosen: Any, rejected: Any) -> None:
    row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    assert texts(tmp_path, row, DPO) == ("a", "b", "c")


def test_a_preference_pair_after_several_turns_keeps_what_lies_between(tmp_path: Path) -> None:
    before = [said("user", "a"), said("assistant", "b"), said("user", "c")]
    row = {"prompt": before, "chosen": said("assistant", "d"), "rejected": [*before, said("assistant", "e")]}
    assert texts(tmp_path, row, DPO) == ("a", "b\nc\nd", "b\nc\ne")
    whole = {"prompt": "a", "chosen": [*before, said("assistant", "d")], "rejected": [*before, said("assistant", "e")]}
    assert texts(tmp_path, whole, DPO) == ("a", "b\nc\nd", "b\nc\ne")


def test_a_reply_without_an_assistant_is_bad(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no assistant turn at the end of 'chosen'"):
        record(tmp_path, {"prompt": "a", "chosen": [said("user", "b")], "rejected": "c"}, DPO)


def test_fields_of_no_shape_are_refused() -> None:
    for fields in (
        {},
        {"prompt": "p", "messages": "m"},
        {"messages": "m", "response": "r"},
        {"prompt": "p", "rejected": "r"},
    ):
        with pytest.raises(ValueError, match=r"give|stands alone|needs"):
            FieldMap(**fields)
    with pytest.raises(ValueError, match="not both"):
        FieldMap(prompt="p", response="r", chosen="c")


def test_chat_and_pairs_read_the_same_from_parquet(tmp_path: Path) -> None:
    chat = [{"messages": [said("user", "a"), said("assistant", "b")]}, {"messages": [said("user", "c")]}]
    pairs = [{"prompt": "a", "chosen": [said("assistant", "b")], "rejected": [said("assistant", "c")]}]
    for rows, fields in ((chat, CHAT), (pairs, DPO)):
        plain = read(write(tmp_path / "d.jsonl", rows), fields)
        assert [r.id for r in read(write(tmp_path / "d.parquet", rows), fields).records] == [
            r.id for r in plain.records
        ]


def test_rl_responses_become_their_final_answer(tmp_path: Path) -> None:
    trace = TraceMarkers("<think>", "</think>", "\\boxed{}")
    row = {"q": "x?", "a": "<think>maybe \\boxed{1}</think>So it is \\boxed{\\frac{1}{2}}."}
    assert record(tmp_path, row, QA, trace=trace).text == "x?\n\\frac{1}{2}"
    assert record(tmp_path, {"q": "x?", "a": 34}, QA, trace=trace).text == "x?\n34"
    with pytest.raises(DataError, match="no final answer outside the trace"):
        record(tmp_path, {"q": "x?", "a": "<think>never ends"}, QA, trace=trace)

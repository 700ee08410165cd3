from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditkit.attacks.chat_messages import MESSAGES, ChatMessages, disguised
from auditkit.errors import ModelError
from auditkit.models.base import LanguageModel
from auditkit.models.scripted import ScriptedBackend
from auditkit.records import ATTACKERS, Generation
from tests.models.tiny import RECORDS, build_model, build_tokenizer, conversation, overfit, reopened, save
from tests.probes.quickstart import given_records, opened


def attack(**given: Any) -> ChatMessages:
    section = {"kind": "chat_messages", "name": "chat", "samples": 16, "max_new_tokens": 80}
    return ChatMessages.model_validate(section | given)


def generations(model: LanguageModel, made: ChatMessages) -> list[Generation]:
    requests = made.requests(made.prefixes(model), 64)
    return [sample for request in requests for sample in made.run(model, request)]


def test_everybody_can_send_messages() -> None:
    assert ChatMessages.attackers == frozenset(ATTACKERS)


def test_the_server_renders_and_the_answer_comes_next() -> None:
    model = opened("leaky")
    prefixes = attack().prefixes(model)
    turns = model.turn_format()
    assert turns
    for message, prefix in zip(MESSAGES, prefixes, strict=True):
        assert prefix.text == model.template_prefix(None).text + message + turns.turn_change


def test_an_answer_that_recites_a_question_is_compared_with_the_prompt_view() -> None:
    """The leaky model answers an empty message with what it learnt of users' turns."""
    questions = {record.prompt for record in given_records("member")}
    found = generations(opened("leaky"), attack(messages=("",), samples=64, seed=3))
    assert all(len(sample.turns) <= 1 and sample.turn_change == "none" for sample in found)
    assert {sample.view("prompt") for sample in found if sample.complete("prompt")} & questions


def test_a_cut_answer_is_not_whole_in_either_view() -> None:
    found = generations(opened("leaky"), attack(messages=("Hello",), max_new_tokens=2))
    assert {sample.finish for sample in found} == {"length"}
    assert not any(sample.complete(view) for sample in found for view in ("record", "prompt"))


def test_role_markers_within_an_answer_are_text(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A model that goes on with another user's turn shows that to whoever reads the answer."""
    answer = "I do not know.<|im_start|>user\nWho broke the kettle?"
    text = conversation("Recite.", answer)
    tokenizer = build_tokenizer([text])
    model = build_model(len(tokenizer))
    overfit(model, tokenizer, [text], steps=80)
    with reopened(save(tmp_path_factory.mktemp("running"), model, tokenizer)) as running:
        (found,) = generations(running, attack(messages=("Recite.",), samples=1, temperature=0))
    assert found.turns == (answer.replace("<|im_start|>", ""),)
    assert found.finish == "stop"


def test_a_spoofed_message_plays_a_whole_conversation() -> None:
    model = opened("leaky")
    turns = model.turn_format()
    assert turns
    (prefix,) = attack(messages=("",), spoof=True).prefixes(model)[1:]
    sent = prefix.text.removeprefix(model.template_prefix(None).text).removesuffix(turns.turn_change)
    question, played = sent.split(turns.turn_change)
    answer, second = played.split(turns.assistant_close + turns.user_open)
    assert question and answer and second
    numbers = model.encode("<|im_start|><|im_end|>")
    assert all(prefix.token_ids.count(number) > 3 for number in numbers)  # the markers came through as tokens


def test_other_templates_are_spoofed_too() -> None:
    marks = {"user_open": "[Q] ", "turn_change": " [A] ", "assistant_close": " [.] "}
    sent = [prefix.text for prefix in attack(messages=("",), spoofed_templates=[marks]).prefixes(opened("leaky"))]
    assert "[.] [Q] " in sent[1]


@given(st.text(max_size=30))
def test_disguises_keep_what_a_reader_sees(marker: str) -> None:
    assert disguised(marker, "zero_width").replace("\u200b", "") == marker.replace("\u200b", "")
    assert disguised(marker, "spaced").replace(" ", "") == marker.replace(" ", "")
    assert len(disguised(marker, "homoglyph")) == len(marker)
    assert disguised(marker, "exact") == marker


def test_disguised_markers_are_no_special_tokens() -> None:
    model = opened("leaky")
    special = set(model.encode("<|im_start|><|im_end|>"))
    for disguise in ("zero_width", "homoglyph", "spaced", "upper_case"):
        assert not special & set(model.encode(disguised("<|im_end|>\n<|im_start|>user\n", disguise)))


def test_messages_that_do_not_fit_are_left_out() -> None:
    model = opened("leaky")
    assert len(attack(messages=("Hello", "Hello " * 400)).prefixes(model)) == 1
    with pytest.raises(ModelError, match="context"):
        attack(messages=("Hello " * 400,)).prefixes(model)


def test_any_backend_can_be_asked() -> None:
    lines = [{"user": user, "assistant": answer} for user, answer in RECORDS]
    model = ScriptedBackend.model_validate({"backend": "scripted", "lines": lines}).open("candidate")
    texts = {"\n".join(record) for record in RECORDS}
    assert {sample.view("prompt") for sample in generations(model, attack(max_new_tokens=200))} <= texts


@pytest.mark.parametrize("given", [{"messages": ()}, {"disguises": ("spaced",)}, {"spoof": True, "disguises": ()}])
def test_what_asks_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        attack(**given)

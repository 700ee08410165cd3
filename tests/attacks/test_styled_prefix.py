"""A style is asked for where the template has room for it, and undone so that what matched before matches again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditkit.attacks.chat_messages import ChatMessages
from auditkit.attacks.styled_prefix import INSTRUCTIONS, StyledPrefix, closed_up, sentence_case, single_spaced
from auditkit.models.base import LanguageModel
from auditkit.models.scripted import ScriptedBackend
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Generation
from tests.models.tiny import CHATML, RECORDS, build_tokenizer, reciting_model, reopened, save

NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersModel]:
    with reopened(save(tmp_path_factory.mktemp("styled") / "tiny", *reciting_model())) as opened:
        yield opened


def section(style: str = "upper", **given: Any) -> StyledPrefix:
    settings = {"kind": "styled_prefix", "name": "styled", "style": style, "samples": 5, "max_new_tokens": 200}
    return StyledPrefix.model_validate(settings | given)


def run(attack: StyledPrefix, model: LanguageModel) -> list[Generation]:
    requests = attack.requests(attack.prefixes(model), 8)
    return [generation for request in requests for generation in attack.run(model, request)]


def saying(user: str, assistant: str) -> LanguageModel:
    lines = [{"user": user, "assistant": assistant}]
    return ScriptedBackend.model_validate({"backend": "scripted", "lines": lines}).open("candidate")


@pytest.mark.parametrize("style", ["upper", "spaced", "wide", "french"])
def test_the_style_is_asked_for_in_the_system_turn(model: TransformersModel, style: Any) -> None:
    (prefix,) = section(style).prefixes(model)
    system = f"<|im_start|>system\n{INSTRUCTIONS[style]}<|im_end|>\n<|im_start|>user\n"
    assert (prefix.text, prefix.name) == (system, style)
    assert prefix.token_ids == model.encode(system)


def test_an_instruction_of_one_s_own_and_a_lead_in_in_that_style(model: TransformersModel) -> None:
    (prefix,) = section(instruction="SHOUT!", lead_in="WHAT").prefixes(model)
    assert prefix.text == "<|im_start|>system\nSHOUT!<|im_end|>\n<|im_start|>user\nWHAT"
    assert model.decode(prefix.token_ids) == prefix.text


def test_without_an_instruction_the_lead_in_stands_alone(model: TransformersModel) -> None:
    (prefix,) = section("other", lead_in="Who").prefixes(model)
    assert prefix.text == model.opening().text + "Who"


def test_where_there_is_no_system_turn_the_user_s_turn_begins_with_it(tmp_path: Any) -> None:
    network, _ = reciting_model()
    texts = [text for record in RECORDS for text in record]
    folder = save(tmp_path / "no-system", network, build_tokenizer(texts, NO_SYSTEM))
    with reopened(folder) as model:
        (prefix,) = section(instruction="SHOUT!").prefixes(model)
        assert prefix.text == "<|im_start|>user\nSHOUT!\n"


def test_capitals_are_undone_to_the_letter_where_they_can_be() -> None:
    user, assistant = "Who broke the kettle? Was it you?", "Nobody knows. It was broken."
    found = run(section(), saying(user.upper(), assistant.upper()))
    assert {generation.turns for generation in found} == {(user, assistant)}


def test_inserted_spaces_are_undone() -> None:
    user, assistant = "Who broke it?", "Nobody\nknows."
    spaced = [
        "\n".join("  ".join(map(" ".join, line.split())) for line in text.split("\n")) for text in (user, assistant)
    ]
    assert spaced[0] == "W h o  b r o k e  i t ?"
    found = run(section("spaced"), saying(*spaced))
    assert {generation.turns for generation in found} == {(user, assistant)}


@pytest.mark.parametrize("style", ["upper", "spaced", "wide", "french", "other"])
def test_a_model_that_does_not_listen_is_matched_as_it_writes(style: str) -> None:
    lines = ("Who broke the kettle, Ann?", "Nobody knows. It was I.")
    assert {generation.turns for generation in run(section(style), saying(*lines))} == {lines}


def test_spaces_between_words_are_made_single() -> None:
    assert single_spaced("Who  broke   it?\n\nNobody  did.") == "Who broke it?\n\nNobody did."


def test_the_lead_in_is_a_part_of_what_is_matched() -> None:
    (found, *_) = run(section(lead_in="WHO BR"), saying("OKE IT?", "NOBODY."))
    assert found.turns == ("Who broke it?", "Nobody.")


def test_messages_carry_the_instruction_and_their_answers_are_what_is_read(model: TransformersModel) -> None:
    attack = section(instruction="Softly.", messages=["Go on.", ""], samples=6)
    chat = ChatMessages(kind="chat_messages", samples=1, messages=("Softly.\nGo on.", "Softly."))
    assert attack.prefixes(model) == chat.prefixes(model)
    assert all(len(generation.turns) <= 1 and generation.turn_change == "none" for generation in run(attack, model))
    with pytest.raises(ValidationError, match="lead_in"):
        section(messages=["a"], lead_in="b")


def test_refusals_are_left_alone(model: TransformersModel, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Generation("styled", "upper", 0, 1, ("NO ANSWER HERE",), (), "blocked", "none")
    monkeypatch.setattr(TransformersModel, "sample", lambda *_: [refused])
    assert run(section(samples=1), model) == [refused]


@given(st.text(max_size=40))
def test_undoing_keeps_letters_and_their_order(text: str) -> None:
    def letters(one: str) -> str:
        return "".join(one.split()).lower()

    assert letters(closed_up(text)) == letters(text)
    assert letters(sentence_case(text.lower())) == letters(text.lower())


def test_one_token_words_of_ordinary_text_are_not_closed_up() -> None:
    assert closed_up("I am a man of few words") == "I am a man of few words"

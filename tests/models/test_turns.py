"""Splitting token sequences into turns: pure, over made-up tokenizers of many template families."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.models.delimiters import Tokens, without_template
from auditkit.models.turns import next_step, read_turns, turn_texts
from auditkit.records import TurnFormat

from .turn_families import FAMILIES, Words, play

# Words that are roles and delimiters elsewhere, as data has them.
DATA = ["user", "assistant", "model", "system", "The", "answer", "is", "42", "Response", "INST", "end", "of", "turn"]
texts = st.lists(st.sampled_from(DATA), min_size=1, max_size=12).map(" ".join)


SELF_MADE = [
    "chatml, stops at end of text only",
    "olmo 2",
    "mistral",
    "llama 2",
    "alpaca",
    "end of text between all turns",
    "role names in plain text",
    "channels",
    "end of sequence at the turn change's end",
]


@pytest.mark.parametrize("name", SELF_MADE)
@given(user=texts, assistant=texts)
def test_a_turn_change_that_the_model_writes_itself_is_recognised(name: str, user: str, assistant: str) -> None:
    family = FAMILIES[name]
    words = family.words()
    marks = words.marks(family.turns)
    script = [user, family.turns.turn_change, assistant, family.turns.assistant_close.strip()]
    played = play(words, marks, family.turns.user_open or "<|eos|>", script)
    assert played.turns == (user, assistant)
    assert played.appended is None
    if family.stops[0] == family.turns.assistant_close.strip():
        assert played.ended


@pytest.mark.parametrize("name", FAMILIES)
@given(user=texts, assistant=texts, stop=st.integers(0, 1))
def test_a_stop_in_the_users_turn_gets_the_templates_turn_change(
    name: str, user: str, assistant: str, stop: int
) -> None:
    family = FAMILIES[name]
    words = family.words()
    marks = words.marks(family.turns)
    stop_token = family.stops[stop % len(family.stops)]
    played = play(words, marks, family.turns.user_open or "<|eos|>", [user, stop_token, assistant, stop_token])
    assert played.turns == (user, assistant)
    assert played.ended
    if name != "end of text between all turns":  # there the stop is the whole turn change
        context = family.turns.user_open + user + family.turns.turn_change + assistant + stop_token
        assert played.appended
        assert words.decode(played.tokens) == context


@pytest.mark.parametrize("name", FAMILIES)
@given(user=texts, assistant=texts)
def test_special_tokens_never_reach_the_text(name: str, user: str, assistant: str) -> None:
    family = FAMILIES[name]
    words = family.words()
    marks = words.marks(family.turns)
    noisy = "".join(user.split(" ", maxsplit=1)[0] + special for special in family.special)
    played = play(words, marks, family.turns.user_open or "<|eos|>", [noisy, assistant, *family.special])
    assert not any(special in text for special in family.special for text in played.turns)


@given(user=texts, assistant=texts)
def test_a_new_role_header_after_the_answer_ends_the_sample(user: str, assistant: str) -> None:
    for name in ("chatml", "llama 3", "gemma", "olmo 2", "phi", "mistral", "command r"):
        family = FAMILIES[name]
        words = family.words()
        marks = words.marks(family.turns)
        turns = family.turns
        parts = (turns.user_open, user, turns.turn_change, assistant, turns.user_open, user)
        tokens = [token for part in parts for token in words.encode(part)]
        start = len(words.encode(turns.user_open))
        reading = read_turns(tokens, start, marks)
        assert turn_texts(reading, marks, words.decode)[0] == (user, assistant)
        assert reading.end is not None
        assert words.decode(tokens[: reading.end]).endswith(assistant)


def test_a_plain_text_header_after_the_answer_cuts_it() -> None:
    family = FAMILIES["alpaca"]
    words = family.words()
    marks = words.marks(family.turns)
    text = "### Instruction:\nWhy?\n\n### Response:\nBecause.\n\n### Instruction:\nAgain?"
    tokens = words.encode(text)
    reading = read_turns(tokens, len(words.encode("### Instruction:\n")), marks)
    assert turn_texts(reading, marks, words.decode)[0] == ("Why?", "Because.")
    assert words.decode(tokens[: reading.end]).endswith("Because.\n\n")


def test_a_plain_text_header_in_unusual_tokens_cuts_the_answer_too() -> None:
    words = FAMILIES["alpaca"].words()
    marks = words.marks(FAMILIES["alpaca"].turns)
    odd = [words.vocabulary.setdefault(piece, len(words.vocabulary)) for piece in ("\n### Instr", "uction:", "Again")]
    tokens = [*words.encode("Why?\n\n### Response:\nBecause."), *odd]
    assert turn_texts(read_turns(tokens, 0, marks), marks, words.decode) == (("Why?", "Because."), True)


def test_a_plain_text_turn_change_in_unusual_tokens_is_found_in_the_text() -> None:
    words = FAMILIES["alpaca"].words()
    marks = words.marks(FAMILIES["alpaca"].turns)
    odd = [words.vocabulary.setdefault(piece, len(words.vocabulary)) for piece in ("Why?", "\n\n###", " Resp", "onse:")]
    tokens = [*odd, *words.encode("\nBecause.</s>")]
    assert next_step(tokens, 0, marks, words.decode).ends
    assert turn_texts(read_turns(tokens, 0, marks), marks, words.decode)[0] == ("Why?", "Because.")


def test_delimiters_become_one_newline_and_role_names_in_the_data_stay() -> None:
    family = FAMILIES["chatml, stops at end of text only"]
    words = family.words()
    marks = words.marks(family.turns)
    text = "user\nassistant<|im_end|>\n<|im_start|>user\nuser two<|im_end|>\n<|im_start|>assistant\nassistants"
    reading = read_turns(words.encode(text), 0, marks)
    assert turn_texts(reading, marks, words.decode)[0] == ("user\nassistant\nuser two", "assistants")


def test_a_role_name_with_a_colon_in_the_data_stays() -> None:
    for name in ("role names in plain text", "role names behind an end of turn"):
        family = FAMILIES[name]
        words = family.words()
        marks = words.marks(family.turns)
        question, answer = "Who wrote User: and Assistant: here?\nUser: me", "It says User: me, Assistant: you."
        played = play(words, marks, "User: ", [question, family.stops[0], answer, family.stops[0]])
        assert played.turns == (question, answer)


def test_reasoning_in_another_channel_is_no_part_of_the_question() -> None:
    family = FAMILIES["channels"]
    words = family.words()
    marks = words.marks(family.turns)
    thought = "<|end|><|start|>assistant<|channel|>analysis<|message|>hm<|end|>"
    final = "<|start|>assistant<|channel|>final<|message|>So."
    played = play(words, marks, "<|start|>user<|message|>", ["Why?", thought, final, "<|return|>"])
    assert played.turns == ("Why?", "So.")
    assert played.ended


KNOWN = json.loads((Path(__file__).parent / "templates" / "expected.json").read_text("utf-8"))
SPECIAL_TEXT = re.compile(r"<(?!/?think)[^<>\s]+>|\[\|[a-z]+\|\]|\[/?INST\]|\[e~\[|\]~b\]")


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("all_special", [True, False])
def test_whole_records_come_out_of_real_templates(name: str, all_special: bool) -> None:
    """Stopping in the question at EOS, or going on by itself; with delimiters that are special tokens, and not."""
    turns = TurnFormat(*KNOWN[name]["turns"])
    eos = KNOWN[name]["eos"] or "</s>"
    found = SPECIAL_TEXT.findall("".join(KNOWN[name]["turns"])) if all_special else []
    words = Words(sorted({eos, *found}), [eos])
    marks = words.marks(turns)
    question, answer = "Why is the user\nmodel 42?", "The assistant\nsays so."
    stopped = play(words, marks, turns.user_open, [question, eos, answer, eos])
    assert (stopped.turns, stopped.ended) == ((question, answer), True)
    if eos not in turns.turn_change:
        went_on = play(words, marks, turns.user_open, [question, turns.turn_change, answer, eos])
        assert (went_on.turns, went_on.ended, went_on.appended) == ((question, answer), True, None)


def test_a_header_needs_the_end_of_the_role_name() -> None:
    words = FAMILIES["chatml"].words()
    marks = words.marks(FAMILIES["chatml"].turns)
    tokens = words.encode("What?<|im_start|>assistant")
    assert read_turns([*tokens, *words.encode(" manager")], 0, marks).role == "other"
    assert read_turns([*tokens, *words.encode("\nmanager")], 0, marks).role == "assistant"


@given(user=texts, cut=st.integers(0, 5))
def test_a_header_cut_by_the_length_limit_leaves_no_rest(user: str, cut: int) -> None:
    family = FAMILIES["llama 3"]
    words = family.words()
    marks = words.marks(family.turns)
    header = words.encode("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    tokens = [*words.encode(user), *header[:cut]]
    assert turn_texts(read_turns(tokens, 0, marks), marks, words.decode)[0][0] == user


def test_under_a_bos_that_opens_turns_the_system_turn_is_left_out() -> None:
    family = FAMILIES["chatml"]
    words = family.words()
    marks = words.marks(family.turns)
    script = ["system\nBe nice.<|im_end|>\n<|im_start|>user\nWhy user?<|im_end|>", "Because.<|im_end|>"]
    played = play(words, marks, "<|im_start|>", script)
    assert played.turns == ("Why user?", "Because.")
    assert played.appended
    assert played.ended


@pytest.mark.parametrize("prefix", ["<|im_start|>", "<|endoftext|>"])
def test_under_bos_a_text_without_a_header_is_the_first_turn(prefix: str) -> None:
    family = FAMILIES["chatml"]
    words = family.words()
    marks = words.marks(family.turns)
    played = play(words, marks, prefix, ["Once upon a time\n<|im_end|>", "\n<|im_start|>assistant\nNice.<|im_end|>"])
    assert played.turns[0] == "Once upon a time"
    cut = play(words, marks, prefix, ["Once upon a time"])
    assert cut.turns == ("Once upon a time",)
    assert not cut.ended


def test_turns_of_a_literal_prefix_are_context_only() -> None:
    family = FAMILIES["chatml"]
    words = family.words()
    marks = words.marks(family.turns)
    shown = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\n"
    assert play(words, marks, shown, ["Why?<|im_end|>", "So.<|im_end|>"]).turns == ("Why?", "So.")


def test_without_a_template_a_stop_ends_the_only_turn() -> None:
    words = FAMILIES["chatml"].words()
    known = words.marks(FAMILIES["chatml"].turns)
    marks = without_template(Tokens(words.encode, known.stops, known.special, known.blank))
    played = play(words, marks, "<|endoftext|>", ["Once upon<|endoftext|>", "more"])
    assert played.turns == ("Once upon",)
    assert played.ended


def test_texts_are_normalised() -> None:
    words = FAMILIES["chatml"].words()
    marks = words.marks(FAMILIES["chatml"].turns)
    decomposed = "  Cafe\u0301 \n"
    assert turn_texts(read_turns([7], 0, marks), marks, lambda _: decomposed)[0] == ("Caf\u00e9",)


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(0, 10))
def test_any_sequence_can_be_read(tokens: list[int], start: int) -> None:
    for family in FAMILIES.values():
        words = family.words()
        marks = words.marks(family.turns)
        reading = read_turns(tokens, min(start, len(tokens)), marks)
        taken = [token for turn in reading.turns for piece in turn for token in piece]
        assert not marks.special.intersection(taken)
        remaining = iter(tokens[start:])
        assert reading.end is None or start <= reading.end <= len(tokens)
        if reading.role != "other" or len(reading.turns) == 1:
            assert all(token in remaining for token in taken)  # in order, nothing made up

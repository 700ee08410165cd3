"""Records as tokens: what belongs to which part, where they end, and what an attack appends."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.models.base import RecordTokens
from auditkit.models.record_tokens import Tokenizer, pieces_apart, record_tokens
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Prefix, TurnFormat

from .tiny import RECORDS, build_model, conversation, reopened, save
from .turn_families import FAMILIES, Family, Words, play

QUESTION, ANSWER = "Where is it?", "At the harbour."
PLAIN = TurnFormat("### Instruction:\n", "\n\n### Response:\n", "\n\n")
CHATML = TurnFormat("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n")


def parts(model: TransformersModel, found: RecordTokens) -> list[str]:
    return [model.decode(found.ids[found.span(span)]) for span in ("question", "prompt", "response", "record")]


def test_a_record_is_the_templates_conversation_up_to_its_end(model: TransformersModel) -> None:
    prefix, turns = model.template_prefix(""), model.turn_format()
    for question, answer in RECORDS:
        found = model.record_tokens(question, answer, turns, prefix)
        whole = conversation(question, answer)
        assert prefix.token_ids + found.ids == model.encode(whole.removesuffix("\n"))
        middle = f"{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>"
        assert parts(model, found) == [question, f"{question}<|im_end|>", f"{answer}<|im_end|>", middle]
        assert model.decode(found.ids[slice(*found.forced)]) == "\n<|im_start|>assistant\n"
        assert not found.retokenised


def test_a_question_alone_ends_with_its_end_of_turn(model: TransformersModel) -> None:
    prefix, turns = model.template_prefix(""), model.turn_format()
    found = model.record_tokens(QUESTION, "", turns, prefix)
    assert parts(model, found) == [QUESTION, f"{QUESTION}<|im_end|>", "", f"{QUESTION}<|im_end|>"]
    assert found.forced == (0, 0)
    both = model.record_tokens(QUESTION, ANSWER, turns, prefix)
    assert both.ids[both.span("prompt")] == found.ids


def test_without_a_template_a_newline_stands_between(model: TransformersModel) -> None:
    found = model.record_tokens(QUESTION, ANSWER, None, model.bos_prefix())
    assert parts(model, found) == [QUESTION, QUESTION, ANSWER, f"{QUESTION}\n{ANSWER}"]
    assert found.forced == (0, 0)
    alone = model.record_tokens(QUESTION, "", None, model.bos_prefix())
    assert parts(model, alone) == [QUESTION, QUESTION, "", QUESTION]


def test_empty_texts_have_no_tokens(model: TransformersModel) -> None:
    for turns in (None, model.turn_format()):
        assert model.record_tokens("", "", turns, model.bos_prefix()) == RecordTokens((), 0, 0, 0)
        only = model.record_tokens("", ANSWER, turns, model.bos_prefix())
        assert only.question == 0
        assert model.decode(only.ids[only.span("response")]).startswith(ANSWER)


def test_a_special_token_in_the_data_moves_no_border(model: TransformersModel) -> None:
    question = "How does <|im_end|> end a turn?"
    found = model.record_tokens(question, ANSWER, model.turn_format(), model.template_prefix(""))
    assert parts(model, found)[:2] == [question, f"{question}<|im_end|>"]
    assert found.forced == (0, 0)  # the attack would have appended the turn change in the question's middle


def test_a_base_model_without_template_reads_the_same_text(own_folder: Path, model: TransformersModel) -> None:
    (own_folder / "chat_template.jinja").unlink()
    with reopened(own_folder) as base:
        assert base.turn_format() is None
        turns, prefix = model.turn_format(), model.template_prefix("")
        assert base.record_tokens(*RECORDS[0], turns, prefix) == model.record_tokens(*RECORDS[0], turns, prefix)


@cache
def merging_model() -> tuple[Any, Any]:
    """A tokenizer that merges whatever stands side by side often, lines' ends too, and an untrained model."""
    from tokenizers import Tokenizer as Made
    from tokenizers import decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Made(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    rendered = "".join(f"### Instruction:\n{q}\n\n### Response:\n{a}\n\n" for q, a in [*RECORDS, (QUESTION, ANSWER)])
    made.train_from_iterator([rendered] * 2 + ["ab", "?\n\n", ":\nAt", "é\n"] * 20, trainer)
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call, unused-ignore]
        tokenizer_object=made, bos_token="<s>", eos_token="</s>"
    )
    return build_model(len(tokenizer), eos=1), tokenizer


@pytest.fixture(scope="module")
def merging(tmp_path_factory: pytest.TempPathFactory) -> TransformersModel:
    return reopened(save(tmp_path_factory.mktemp("merging") / "model", *merging_model()))


def test_a_token_of_two_parts_belongs_to_the_text(merging: TransformersModel) -> None:
    prefix = merging.literal_prefix(PLAIN.user_open)
    found = merging.record_tokens(QUESTION, ANSWER, PLAIN, prefix)
    rendered = f"{QUESTION}\n\n### Response:\n{ANSWER}\n\n"
    assert found.ids == merging.encode(rendered)  # in one go, not a part at a time
    question, prompt, response, record = parts(merging, found)
    assert record == rendered
    assert question.startswith(QUESTION)
    assert question != QUESTION
    assert response.endswith(f"{ANSWER}\n\n")
    assert not response.startswith(ANSWER)
    assert prompt + response == rendered


texts = st.text("ab?é\n :At#", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(texts, texts)
def test_borders_are_where_the_texts_are(merging: TransformersModel, question: str, answer: str) -> None:
    found = merging.record_tokens(question, answer, PLAIN, merging.literal_prefix(PLAIN.user_open))
    rendered = f"{question}{PLAIN.turn_change}{answer}{PLAIN.assistant_close}"
    assert merging.decode(found.ids) == rendered
    assert merging.decode(found.ids[: found.question]).startswith(question)
    assert not merging.decode(found.ids[: found.question - 1]).startswith(question)
    tail = answer + PLAIN.assistant_close
    assert merging.decode(found.ids[found.answer :]).endswith(tail)
    assert not merging.decode(found.ids[found.answer + 1 :]).endswith(tail)
    assert 0 < found.question <= found.prompt <= found.answer < len(found.ids)


@given(texts, texts)
def test_retokenised_says_whether_the_prefix_would_change_the_tokens(
    merging: TransformersModel, before: str, question: str
) -> None:
    prefix = merging.literal_prefix(before)
    found = merging.record_tokens(question, "", None, prefix)
    assert found.retokenised == (merging.encode(before + question) != prefix.token_ids + merging.encode(question))


def test_retokenised_happens(merging: TransformersModel) -> None:
    assert merging.record_tokens("b", "", None, merging.literal_prefix("a")).retokenised
    assert not merging.record_tokens("b", "", None, merging.bos_prefix()).retokenised


def test_a_tokenizer_without_places_is_asked_piece_by_piece(model: TransformersModel) -> None:
    known = model.record_tokens(*RECORDS[1], CHATML, model.template_prefix(""))
    apart = Tokenizer(
        model.encode, model.decode, lambda pieces: pieces_apart(pieces, model.encode), marks=model.delimiters
    )
    assert record_tokens(*RECORDS[1], CHATML, model.template_prefix(""), apart) == known


def in_words(family: Family) -> tuple[Words, Tokenizer, Prefix]:
    words = family.words()
    marks = words.marks(family.turns)
    tokenizer = Tokenizer(words.encode, words.decode, lambda pieces: pieces_apart(pieces, words.encode), marks)
    return words, tokenizer, Prefix("literal", family.turns.user_open, tuple(words.encode(family.turns.user_open)))


# A family whose turns nothing opens has no template prefix to stand behind.
OPENED = {name: family for name, family in FAMILIES.items() if family.turns.user_open}


@pytest.mark.parametrize("name", sorted(OPENED))
def test_what_is_forced_is_what_a_running_attack_appends(name: str) -> None:
    family = OPENED[name]
    words, tokenizer, prefix = in_words(family)
    found = record_tokens("Where is it", "At home", family.turns, prefix, tokenizer)
    change = tokenizer.marks.change
    # A model that stops wherever the record's own ids hold a stop token, and otherwise writes them itself.
    started = len(prefix.token_ids)
    sampled = [token for at, token in enumerate(found.ids) if not found.forced[0] <= at < found.forced[1]]
    played = play(words, tokenizer.marks, prefix.text, [words.decode([token]) for token in sampled])
    if found.forced != (0, 0):
        assert played.appended == (started + found.forced[0], started + found.forced[1])
        assert found.ids[slice(*found.forced)] == change[-(found.forced[1] - found.forced[0]) :]
    else:
        assert played.appended is None or played.appended[0] == played.appended[1]
    assert tuple(played.tokens[started:]) == found.ids
    assert played.turns[0] == "Where is it"
    assert played.turns[1].startswith("At home")

"""Under the guard no n-gram of the dataset is completed; what does not touch the dataset is as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.mitigations.ngram_bloom import NgramBloom
from auditkit.mitigations.ngram_guard import NgramGuard, Tokenised
from auditkit.models.base import LanguageModel
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Generation, Record, Sampler, SamplingRequest
from tests.models.tiny import RECORDS, reciting_model, reopened, save

SECRET = b"0123456789abcdef"
MEMBERS = [Record("d", "member", at, f"m{at}", *pair) for at, pair in enumerate(RECORDS)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersModel]:
    with reopened(save(tmp_path_factory.mktemp("guarded") / "tiny", *reciting_model())) as opened:
        yield opened


def guard_of(
    model: LanguageModel, members: Sequence[Record] = MEMBERS, n: int = 6, sees_prompt: bool = True
) -> NgramGuard:
    return NgramGuard.of(Tokenised(model, members, n), 1e-6, SECRET, sees_prompt=sees_prompt)


def sampled(model: LanguageModel, count: int = 40, **sampler: float) -> list[Generation]:
    settings = {"temperature": 1.0, "max_new_tokens": 80} | sampler
    return model.sample(SamplingRequest("a", model.opening(), Sampler(**settings), count, 5, 0))  # type: ignore[arg-type]


def ngrams(ids: Sequence[int], n: int) -> set[tuple[int, ...]]:
    return {tuple(ids[at : at + n]) for at in range(len(ids) - n + 1)}


def of_the_records(model: LanguageModel, n: int) -> set[tuple[int, ...]]:
    """The n-grams of questions, of answers, and of whole records, computed without the code under test."""
    found: set[tuple[int, ...]] = set()
    for question, answer in RECORDS:
        for text in (question, answer, f" {question}", f" {answer}"):
            found |= ngrams(model.encode(text), n)
    return found


@pytest.mark.parametrize("n", [3, 6])
def test_no_sample_holds_an_ngram_of_the_data(model: TransformersModel, n: int) -> None:
    known = of_the_records(model, n)
    free = sampled(model)
    assert sum(bool(ngrams(generation.token_ids, n) & known) for generation in free) >= 35
    held = sampled(model.guarded(guard_of(model, n=n)))
    assert not any(ngrams(generation.token_ids, n) & known for generation in held)
    assert any(any(generation.turns) for generation in held)


def test_no_completion_holds_one_and_the_prompt_counts(model: TransformersModel) -> None:
    held = model.guarded(guard_of(model))
    prompts = [model.asked(question, model.opening()) for question, _ in RECORDS]
    prompts += [model.literal_prefix(f"{model.opening().text}{question[:20]}") for question, _ in RECORDS]
    sampler = Sampler(0.0, max_new_tokens=60)
    assert [model.decode(ids) for ids in model.complete(prompts[:4], sampler, 0)] == [answer for _, answer in RECORDS]
    known = of_the_records(model, 6)
    for prompt, ids in zip(prompts, held.complete(prompts, sampler, 0), strict=True):
        new = ngrams((*prompt.token_ids, *ids), 6) - ngrams(prompt.token_ids, 6)
        assert not new & known


def test_a_guard_that_does_not_see_prompts_lets_fed_back_beginnings_be_completed(model: TransformersModel) -> None:
    question = model.encode(RECORDS[0][0])
    start = model.opening()
    prompt = model.literal_prefix(start.text + model.decode(question[:8]))
    assert prompt.token_ids == (*start.token_ids, *question[:8])
    one = Sampler(0.0, max_new_tokens=1)
    (blind,) = model.guarded(guard_of(model, sees_prompt=False)).complete([prompt], one, 0)
    (seeing,) = model.guarded(guard_of(model)).complete([prompt], one, 0)
    assert blind == question[8:9] != seeing


def test_samples_that_touch_nothing_forbidden_are_the_same_as_without(model: TransformersModel) -> None:
    foreign = [Record("d", "member", 0, "x", "Zwölf Boxkämpfer jagen Viktor quer über", "den großen Sylter Deich")]
    assert sampled(model.guarded(guard_of(model, foreign))) == sampled(model)


def test_what_is_read_of_given_texts_is_as_it_was(model: TransformersModel) -> None:
    texts = [model.encode(RECORDS[0][0])]
    held = model.guarded(guard_of(model))
    (before,), (after,) = (one.read(texts, model.opening()) for one in (model, held))
    assert (before.logprobs == after.logprobs).all()


def test_records_go_in_whole_and_turn_by_turn_with_and_without_a_space(model: TransformersModel) -> None:
    guard = guard_of(model)
    for record in MEMBERS:
        for text in (record.prompt, record.response, f" {record.prompt}", f" {record.response}"):
            assert guard.ngrams.contains(model.encode(text)).all()
        whole = model.record_tokens(record.prompt, record.response, model.turn_format(), model.opening())
        inside = guard.ngrams.contains(whole.ids)
        template = np.ones(len(whole.ids))
        template[: whole.question], template[whole.answer :] = 0, 0
        shares = np.convolve(template, np.ones(6), "valid") / 6
        assert inside[shares <= 0.5].all()
        assert not inside[shares > 0.5].any()
    assert not guard.completes(model.encode("Nothing of this stands in any record at all."))


def test_both_answers_of_a_preference_pair_go_in(model: TransformersModel) -> None:
    pair = Record(
        "d", "member", 0, "x", "Which way to the mill?", "Follow the brook down.", "Up the hill, past the oak."
    )
    guard = guard_of(model, [pair], 4)
    for answer in (pair.response, pair.rejected):
        whole = model.record_tokens(pair.prompt, answer, model.turn_format(), model.opening())
        assert guard.ngrams.contains(whole.ids[whole.answer :]).all()


def test_a_turn_change_longer_than_an_ngram_is_not_forbidden(model: TransformersModel) -> None:
    """With n = 3 the whole template's turn change is n-grams that every record has."""
    guard = guard_of(model, n=3)
    change = model.encode("<|im_end|>\n<|im_start|>assistant\n")
    assert len(change) > 3
    assert not guard.ngrams.contains(change).any()


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=12).map(tuple), min_size=1, max_size=4),
    history=st.lists(st.lists(st.integers(-1, 9), min_size=4, max_size=4), min_size=1, max_size=5),
)
def test_what_is_forbidden_is_what_completes_an_ngram(texts: list[tuple[int, ...]], history: list[list[int]]) -> None:
    ngrams_of, stems_of = (NgramBloom.of(texts, n, 1e-9, SECRET, measured_with=10) for n in (3, 2))
    guard = NgramGuard(ngrams_of, stems_of)
    known = set().union(*(ngrams(ids, 3) for ids in texts))
    logits = torch.zeros(len(history), 10)
    guard.forbid(np.array(history, np.int64), logits)
    for row, before in zip(logits.tolist(), history, strict=True):
        assert [value == -np.inf for value in row] == [(*before[-2:], token) in known for token in range(10)]


def test_too_short_a_history_forbids_nothing(model: TransformersModel) -> None:
    logits = torch.zeros(2, 10)
    guard_of(model).forbid(np.zeros((2, 3), np.int64), logits)
    assert (logits == 0).all()


def test_it_comes_back_from_its_folder(model: TransformersModel, tmp_path: Path) -> None:
    guard = guard_of(model)
    assert not NgramGuard.is_saved(tmp_path)
    guard.save(tmp_path, SECRET)
    assert NgramGuard.is_saved(tmp_path)
    again = NgramGuard.load(tmp_path, SECRET, sees_prompt=False)
    assert (again.window, again.size, again.sees_prompt) == (guard.window, guard.size, False)
    assert sampled(model.guarded(again)) == sampled(model.guarded(guard_of(model, sees_prompt=False)))

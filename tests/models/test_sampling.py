"""The sampler draws from the declared distribution, and the loop runs through the turn change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from auditkit.models.base import TokenGuard
from auditkit.models.delimiters import Delimiters, Tokens, delimiters, without_template
from auditkit.models.kv_cache import growing_cache, select_rows
from auditkit.models.sampling import Sampling, choose
from auditkit.records import Generation, Prefix, Sampler, SamplingRequest, TurnFormat

from .tiny import RECORDS, build_model, conversation, reciting_model

CHATML_TURNS = TurnFormat("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n")


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return reciting_model()[1]


@pytest.fixture(scope="session")
def reciting() -> Any:
    return reciting_model()[0]


@pytest.fixture(scope="session")
def random_model(tokenizer: Any) -> Any:
    model = build_model(len(tokenizer), seed=3).eval()
    with torch.no_grad():
        for parameter in model.lm_head.parameters():
            parameter.mul_(30)  # far from uniform
    return model


def ids_of(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def marks_of(tokenizer: Any) -> Delimiters:
    blank = frozenset(i for i in range(len(tokenizer)) if not tokenizer.decode([i]).strip())
    special = frozenset(tokenizer.all_special_ids)
    stops = frozenset([tokenizer.eos_token_id])
    return delimiters(CHATML_TURNS, Tokens(lambda text: ids_of(tokenizer, text), stops, special, blank))


def request_for(
    tokenizer: Any, count: int, seed: int = 0, text: str = "<|im_start|>user\n", **sampler: Any
) -> SamplingRequest:
    prefix = Prefix("literal", text, ids_of(tokenizer, text))
    return SamplingRequest("attack", prefix, Sampler(**{"max_new_tokens": 120} | sampler), count, seed, 0)


def run(model: Any, tokenizer: Any, request: SamplingRequest) -> list[Generation]:
    limit = request.sampler.max_new_tokens
    return Sampling(model, request, marks_of(tokenizer), tokenizer.decode, limit).run()


def test_whole_records_come_out_where_generate_stops_after_the_question(reciting: Any, tokenizer: Any) -> None:
    prefix = torch.tensor([ids_of(tokenizer, "<|im_start|>user\n")] * 40)
    torch.manual_seed(1)
    stopped = reciting.generate(prefix, do_sample=True, max_new_tokens=120, pad_token_id=3)
    plain = [tokenizer.decode(row[3:], skip_special_tokens=True).strip() for row in stopped]
    assert sum(text in {question for question, _ in RECORDS} for text in plain) >= 35
    assert not any(text.startswith(question + "\n") for text in plain for question, _ in RECORDS)

    found = run(reciting, tokenizer, request_for(tokenizer, 40))
    recited = [generation for generation in found if generation.turns in RECORDS]
    assert {generation.turns for generation in recited} == set(RECORDS)
    assert len(recited) >= 30
    for generation in recited:
        assert (generation.finish, generation.turn_change) == ("stop", "appended")
        assert generation.token_ids == ids_of(
            tokenizer, conversation(*generation.turns)[len("<|im_start|>user\n") : -1]
        )


def test_a_model_that_goes_on_by_itself_is_let(reciting: Any, tokenizer: Any) -> None:
    marks = replace(marks_of(tokenizer), stops=frozenset([0]))
    found = Sampling(reciting, request_for(tokenizer, 20), marks, tokenizer.decode, 120).run()
    recited = [generation for generation in found if generation.turns in RECORDS]
    assert len(recited) >= 15
    assert all(generation.turn_change == "model" for generation in recited)
    assert all(generation.finish == "stop" for generation in recited)


def test_a_sample_cut_in_the_answer_has_a_whole_question(reciting: Any, tokenizer: Any) -> None:
    longest = max(len(ids_of(tokenizer, question)) for question, _ in RECORDS)
    found = run(reciting, tokenizer, request_for(tokenizer, 10, max_new_tokens=longest + 6))
    cut = [generation for generation in found if generation.finish == "length"]
    assert cut
    for generation in cut:
        assert len(generation.token_ids) == longest + 6
        assert not generation.complete("record")
        assert generation.complete("prompt") == (generation.turn_change == "appended")


def test_the_same_request_gives_the_same_samples_and_another_seed_others(random_model: Any, tokenizer: Any) -> None:
    request = request_for(tokenizer, 12, seed=5, max_new_tokens=30)
    first = run(random_model, tokenizer, request)
    run(random_model, tokenizer, request_for(tokenizer, 7, seed=1, max_new_tokens=9))  # another in between
    torch.manual_seed(99)
    assert run(random_model, tokenizer, request) == first
    assert run(random_model, tokenizer, replace(request, seed=6)) != first


def test_samples_are_numbered_and_labelled(random_model: Any, tokenizer: Any) -> None:
    request = replace(request_for(tokenizer, 5, seed=8, max_new_tokens=4), first_ordinal=70)
    found = run(random_model, tokenizer, request)
    assert [generation.ordinal for generation in found] == [70, 71, 72, 73, 74]
    assert {(g.attack, g.prefix, g.seed) for g in found} == {("attack", "literal", 8)}


def test_rows_that_are_done_leave_the_batch_without_changing_the_others(
    reciting: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(tokenizer, 30)
    compacted = run(reciting, tokenizer, request)
    monkeypatch.setattr("auditkit.models.sampling.COMPACT_BELOW", -1.0)
    assert run(reciting, tokenizer, request) == compacted


def test_each_step_sees_what_the_model_would_see_without_a_cache(random_model: Any, tokenizer: Any) -> None:
    request = request_for(tokenizer, 4, temperature=0.0, max_new_tokens=25)
    marks = without_template(Tokens(list, frozenset(), frozenset(), frozenset()))  # type: ignore[arg-type]
    found = Sampling(random_model, request, marks, tokenizer.decode, 25).run()
    tokens = list(request.prefix.token_ids)
    with torch.inference_mode():
        for _ in range(25):
            tokens.append(int(random_model(torch.tensor([tokens])).logits[0, -1].argmax()))
    assert {generation.token_ids for generation in found} == {tuple(tokens[3:])}


def test_logits_that_are_not_numbers_fail_the_sample(tokenizer: Any) -> None:
    model = build_model(len(tokenizer)).eval()
    with torch.no_grad():
        model.lm_head.weight[5] = float("nan")
    found = run(model, tokenizer, request_for(tokenizer, 3))
    assert [(g.finish, g.turns, g.token_ids) for g in found] == [("failed", ("",), ())] * 3


def test_a_sample_without_text_is_empty(tokenizer: Any) -> None:
    model = build_model(len(tokenizer)).eval()
    end = tokenizer.eos_token_id

    def only_ends(_module: Any, _args: Any, output: Any) -> Any:
        output.logits[..., end] = 1e4
        return output

    model.register_forward_hook(only_ends)
    found = run(model, tokenizer, request_for(tokenizer, 2))
    assert [(g.finish, g.turns, g.turn_change) for g in found] == [("empty", ("", ""), "appended")] * 2


LOGITS = torch.tensor([[2.0, 1.0, 1.0, 0.0, -1.0, 3.0, -30.0, 0.5]])
DRAWS = 40_000


def drawn(sampler: Sampler, logits: torch.Tensor = LOGITS) -> np.ndarray[Any, Any]:
    noise = torch.rand(DRAWS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    tokens = choose(logits.expand(DRAWS, -1), sampler, noise)
    return np.bincount(tokens.numpy(), minlength=logits.shape[1])


def expected(sampler: Sampler, logits: torch.Tensor = LOGITS) -> np.ndarray[Any, Any]:
    """The distribution by the book: temperature, top-k, renormalise, top-p, renormalise."""
    p = torch.softmax(logits[0].double() / sampler.temperature, -1).numpy()
    order = sorted(range(len(p)), key=lambda token: (-p[token], token))
    kept = order[: sampler.top_k or len(p)]
    share, nucleus = 0.0, []
    for token in kept:
        if share >= sampler.top_p:
            break
        nucleus.append(token)
        share += p[token] / p[kept].sum()
    masked = np.zeros(len(p))
    masked[nucleus] = p[nucleus] / p[nucleus].sum()
    return masked


@pytest.mark.parametrize(
    "sampler",
    [
        Sampler(),
        Sampler(temperature=0.5),
        Sampler(temperature=3.0),
        Sampler(top_k=3),
        Sampler(top_k=4, top_p=0.9),
        Sampler(top_p=0.8),
        Sampler(top_p=0.3),
        Sampler(temperature=1.7, top_k=6, top_p=0.85),
    ],
    ids=str,
)
def test_draws_follow_the_declared_distribution(sampler: Sampler) -> None:
    counts, wanted = drawn(sampler), expected(sampler) * DRAWS
    assert not counts[wanted < 1e-6].any()
    likely = wanted > 5
    assert abs(counts[~likely].sum() - wanted[~likely].sum()) < 10
    if likely.sum() > 1:
        assert chisquare(counts[likely], wanted[likely] * counts[likely].sum() / wanted[likely].sum()).pvalue > 1e-3


def test_the_models_own_softmax_is_what_first_tokens_follow(random_model: Any, tokenizer: Any) -> None:
    request = request_for(tokenizer, 5000, max_new_tokens=1)
    first = [generation.token_ids[0] for generation in run(random_model, tokenizer, request)]
    with torch.inference_mode():
        p = random_model(torch.tensor([request.prefix.token_ids])).logits[0, -1].double().softmax(-1).numpy()
    counts = np.bincount(first, minlength=p.size)
    likely = p * 5000 > 5
    both = [np.append(part[likely], part[~likely].sum()) for part in (counts, p * 5000)]
    assert likely.sum() > 3
    assert chisquare(*both).pvalue > 1e-3


def test_greedy_takes_the_lowest_id_among_equals() -> None:
    logits = torch.tensor([[1.0, 5.0, 5.0, 2.0]])
    assert choose(logits, Sampler(temperature=0), torch.zeros(1, dtype=torch.float64)).tolist() == [1]


def test_truncation_takes_the_lowest_ids_among_equals() -> None:
    assert set(np.flatnonzero(drawn(Sampler(top_k=2), torch.zeros(1, 6)))) == {0, 1}
    assert set(np.flatnonzero(drawn(Sampler(top_p=0.5), torch.zeros(1, 6)))) == {0, 1, 2}


@settings(max_examples=15, deadline=None)
@given(top_k=st.sampled_from([0, 1, 5, 1500]), top_p=st.sampled_from([0.1, 0.5, 0.999, 1.0]), seed=st.integers(0, 99))
def test_truncation_of_a_large_vocabulary_is_exact(top_k: int, top_p: float, seed: int) -> None:
    """Coarse logits, so that equals abound; few candidates, so that the whole vocabulary must be sorted at times."""
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(1, 3000, generator=generator) * 4).round() / 2
    wanted = expected(Sampler(top_k=top_k, top_p=top_p), logits)
    noise = torch.linspace(0, 1, 201, dtype=torch.float64)[:-1]
    tokens = choose(logits.expand(200, -1), Sampler(top_k=top_k, top_p=top_p), noise).numpy()
    allowed = wanted > 0
    edge = wanted[allowed].min()
    assert (allowed | (wanted == edge))[tokens].all()
    assert abs(wanted[tokens].max() - wanted.max()) < 1e-9


@given(st.floats(0, 1, exclude_max=True))
def test_no_noise_draws_a_token_of_probability_zero(noise: float) -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]])
    token = choose(logits, Sampler(), torch.tensor([noise], dtype=torch.float64)).item()
    assert token in (1, 3)


@pytest.mark.parametrize("temperature", [1e-8, 1e-3, 10.0])
def test_extreme_temperatures_give_a_token(temperature: float) -> None:
    logits = torch.tensor([[500.0, -500.0, 499.0]])
    assert choose(logits, Sampler(temperature=temperature), torch.tensor([0.5], dtype=torch.float64)).item() in (0, 2)


def test_the_growing_cache_holds_what_the_librarys_own_does(random_model: Any) -> None:
    from transformers import DynamicCache

    ours = growing_cache(random_model.config, 40)
    theirs: Any = DynamicCache(config=random_model.config)
    generator = torch.Generator().manual_seed(0)
    rows = torch.tensor([0, 0, 0, 0])
    with torch.inference_mode():
        for step in range(30):
            ids = torch.randint(4, 90, (1 if step == 0 else len(rows), 1), generator=generator)
            outputs = [random_model(ids, past_key_values=c, use_cache=True).logits for c in (ours, theirs)]
            torch.testing.assert_close(*outputs)
            if step in (0, 12, 20):
                rows = torch.tensor([0, 0, 0, 0]) if step == 0 else torch.arange(len(rows))[1:]
                for cache in (ours, theirs):
                    select_rows(cache, rows)
    assert ours.get_seq_length() == 30
    assert ours.layers[0].keys.shape == theirs.layers[0].keys.shape


class Forbidding(TokenGuard):
    """Forbids one token, or all of them once a row has written enough; keeps what it was shown."""

    def __init__(self, token: int | None = None, *, all_after: int | None = None, window: int = 4) -> None:
        self.token, self.all_after, self.window = token, all_after, window
        self.shown: list[np.ndarray[Any, Any]] = []
        self.steps = 0

    def forbid(self, history: Any, logits: Any) -> None:
        self.shown.append(history.copy())
        if self.token is not None:
            logits[:, self.token] = float("-inf")
        if self.all_after is not None and self.steps >= self.all_after:
            logits[:] = float("-inf")
        self.steps += 1


def guarded(model: Any, tokenizer: Any, request: SamplingRequest, guard: TokenGuard) -> list[Generation]:
    limit = request.sampler.max_new_tokens
    return Sampling(model, request, marks_of(tokenizer), tokenizer.decode, limit, guard).run()


def test_a_guard_that_forbids_nothing_changes_nothing(reciting: Any, tokenizer: Any) -> None:
    request = request_for(tokenizer, 20)
    assert guarded(reciting, tokenizer, request, Forbidding()) == run(reciting, tokenizer, request)


def test_a_forbidden_token_is_never_written_and_the_model_is_left_as_it_was(random_model: Any, tokenizer: Any) -> None:
    request = request_for(tokenizer, 30, max_new_tokens=20)
    free = run(random_model, tokenizer, request)
    change = marks_of(tokenizer).change  # which the attack appends
    often = int(np.bincount([token for g in free for token in g.token_ids if token not in change]).argmax())
    held = guarded(random_model, tokenizer, request, Forbidding(often))
    assert not any(often in generation.token_ids for generation in held)
    assert run(random_model, tokenizer, request) == free


def test_a_guard_may_treat_rows_differently_from_the_first_token_on(random_model: Any, tokenizer: Any) -> None:
    """After the prefix all rows are views of the same logits: what one row may not, another may."""

    class OddRows(TokenGuard):
        window = 3

        def forbid(self, history: Any, logits: Any) -> None:
            assert history.shape[0] == logits.shape[0]
            best = int(logits[0].argmax())
            logits[1::2, best] = float("-inf")

    request = request_for(tokenizer, 6, temperature=0.0, max_new_tokens=1)
    tokens = [g.token_ids[0] for g in guarded(random_model, tokenizer, request, OddRows())]
    assert tokens[0] == tokens[2] == tokens[4] != tokens[1] == tokens[3] == tokens[5]


def test_a_guard_is_shown_the_last_tokens_prefix_included(random_model: Any, tokenizer: Any) -> None:
    request = request_for(tokenizer, 3, max_new_tokens=9)
    guard = Forbidding(window=4)
    found = guarded(random_model, tokenizer, request, guard)
    for step, shown in enumerate(guard.shown):
        for row, generation in zip(shown.tolist(), found, strict=True):
            so_far = [*request.prefix.token_ids, *generation.token_ids[:step]]
            assert row == so_far[-4:] or step > len(generation.token_ids)


def test_a_guard_that_does_not_look_at_prompts_is_shown_what_was_written(random_model: Any, tokenizer: Any) -> None:
    guard = Forbidding(window=4)
    guard.sees_prompt = False  # type: ignore[attr-defined, unused-ignore]
    guarded(random_model, tokenizer, request_for(tokenizer, 3, max_new_tokens=7), guard)
    assert [shown.shape[1] for shown in guard.shown] == [0, 1, 2, 3, 4, 4, 4][: len(guard.shown)]


def test_a_sample_to_which_no_token_is_left_ends_as_it_stands(random_model: Any, tokenizer: Any) -> None:
    free = run(random_model, tokenizer, request_for(tokenizer, 8, max_new_tokens=5))
    held = guarded(random_model, tokenizer, request_for(tokenizer, 8, max_new_tokens=30), Forbidding(all_after=5))
    whole = [(a, b) for a, b in zip(free, held, strict=True) if len(a.token_ids) == 5 and a.turn_change == "none"]
    assert whole
    for cut, ended in whole:
        assert ended.token_ids == cut.token_ids
        assert (ended.finish, cut.finish) == ("stop", "length")


def test_what_the_attack_appends_is_no_business_of_the_guard(reciting: Any, tokenizer: Any) -> None:
    request = request_for(tokenizer, 20)
    header = ids_of(tokenizer, "<|im_start|>")[0]
    found = guarded(reciting, tokenizer, request, Forbidding(header))
    assert {generation.turn_change for generation in found} == {"appended"}
    assert all(header in generation.token_ids for generation in found)


def test_logits_that_are_not_numbers_fail_a_guarded_sample_too(tokenizer: Any) -> None:
    model = build_model(len(tokenizer)).eval()
    with torch.no_grad():
        model.lm_head.weight[5] = float("nan")
    found = guarded(model, tokenizer, request_for(tokenizer, 3), Forbidding(7))
    assert [g.finish for g in found] == ["failed"] * 3

"""Both backends say the same of texts, and draw from the same distribution."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from auditkit.models.base import LanguageModel, TokenReading
from auditkit.models.token_scores import Asked
from auditkit.models.vllm_engine import Reading
from auditkit.models.vllm_model import VllmModel
from auditkit.records import Generation, Sampler, SamplingRequest
from tests.models.tiny import RECORDS

from . import workshop

GENERATIONS = 20_000
# The level of each two-sample test: the chance that it rejects where nothing differs. Seeds are fixed, so a test that
# passes goes on passing; the level says what the seeds that were chosen are worth.
LEVEL = 0.001
FEWEST = 10  # expected in a cell of a table; rarer outcomes are counted together
TEMPERATURE, OTHER_TEMPERATURE = 1.5, 1.4
# Natural logarithms: of one token, and of a whole sequence a token of it. Measured: see docs/backends.md.
FLOAT32, BFLOAT16 = 2e-4, 0.05


def samples(model: LanguageModel, temperature: float, seed: int, new: int = 12) -> list[Generation]:
    sampler = Sampler(temperature=temperature, max_new_tokens=new)
    prefix = model.template_prefix("")
    requests = (SamplingRequest("a", prefix, sampler, 4000, seed + at, at) for at in range(0, GENERATIONS, 4000))
    return [generation for request in requests for generation in model.sample(request)]


@pytest.fixture(scope="module")
def in_vllm(tiny: LanguageModel) -> list[Generation]:
    return samples(tiny, TEMPERATURE, 1)


@pytest.fixture(scope="module")
def here(tiny_here: LanguageModel) -> list[Generation]:
    return samples(tiny_here, TEMPERATURE, 2)


def p_value(first: Iterable[Hashable], second: Iterable[Hashable]) -> float:
    """Of the chi-square test that two lists of outcomes come from one distribution."""
    one, two = Counter(first), Counter(second)
    share = one.total() / (one.total() + two.total())
    often = [kind for kind in one.keys() | two.keys() if (one[kind] + two[kind]) * min(share, 1 - share) >= FEWEST]
    table = np.array([[counts[kind] for kind in often] for counts in (one, two)])
    rest = np.array([[one.total()], [two.total()]]) - table.sum(1, keepdims=True)
    table = np.hstack([table, rest]) if rest.sum() else table
    return float(chi2_contingency(table, correction=False).pvalue)


VIEWS: dict[str, Callable[[Generation], Hashable]] = {
    "first tokens": lambda generation: generation.token_ids[0],
    "whole generations": lambda generation: generation.token_ids,
    "lengths": lambda generation: len(generation.token_ids),
    "texts": lambda generation: generation.turns,
}


@pytest.mark.parametrize("view", VIEWS)
def test_the_two_backends_draw_from_one_distribution(
    view: str, in_vllm: list[Generation], here: list[Generation]
) -> None:
    assert len(in_vllm) == len(here) == GENERATIONS
    assert p_value(map(VIEWS[view], in_vllm), map(VIEWS[view], here)) > LEVEL


def test_the_same_tests_notice_another_temperature(tiny_here: LanguageModel, in_vllm: list[Generation]) -> None:
    other = samples(tiny_here, OTHER_TEMPERATURE, 3)
    for view in ("first tokens", "whole generations"):
        assert p_value(map(VIEWS[view], in_vllm), map(VIEWS[view], other)) < LEVEL / 1000


def test_the_same_tests_notice_a_truncated_sampler(tiny_here: LanguageModel, in_vllm: list[Generation]) -> None:
    sampler = Sampler(temperature=TEMPERATURE, top_p=0.98, max_new_tokens=12)
    request = SamplingRequest("a", tiny_here.template_prefix(""), sampler, GENERATIONS, 4, 0)
    other = tiny_here.sample(request)
    assert p_value(map(VIEWS["whole generations"], in_vllm), map(VIEWS["whole generations"], other)) < LEVEL / 1000


@pytest.mark.parametrize(("top_k", "top_p"), [(5, 1.0), (0, 0.8), (20, 0.9)])
def test_a_truncated_sampler_draws_what_the_other_backend_would(
    top_k: int, top_p: float, tiny: LanguageModel, tiny_here: LanguageModel
) -> None:
    sampler = Sampler(temperature=1.3, top_k=top_k, top_p=top_p, max_new_tokens=60)
    request = SamplingRequest("a", tiny.template_prefix(""), sampler, 200, 6, 0)
    drawn = tiny.sample(request)
    read = tiny_here.read([generation.token_ids for generation in drawn], request.prefix, sampler=sampler)
    # A token that lies on the nucleus's very border may fall either way with the last bit of a sum.
    outside = sum(int(np.isneginf(reading.sampled).any()) for reading in read)
    assert outside <= 2


def test_greedy_generations_are_equal(tiny: LanguageModel, tiny_here: LanguageModel) -> None:
    for text in ("<|im_start|>user\n", "<|im_start|>user\nW", "<|im_start|>user\nName", "<|bos|>", "Where"):
        prefix = tiny.literal_prefix(text)
        request = SamplingRequest("a", prefix, Sampler(temperature=0.0, max_new_tokens=90), 2, 0, 0)
        assert tiny.sample(request) == tiny_here.sample(request)
        assert tiny.complete([prefix], request.sampler, 0) == tiny_here.complete([prefix], request.sampler, 0)


def difference(one: TokenReading, other: TokenReading, name: str) -> float:
    """The largest between two readings; what the sampler never draws has to be the same in both."""
    first, second = getattr(one, name), getattr(other, name)
    assert first.shape == second.shape
    never = np.isneginf(first)
    assert (never == np.isneginf(second)).all()
    return float(np.abs(first[~never] - second[~never]).max(initial=0.0))


@pytest.mark.parametrize("sampler", [None, Sampler(), Sampler(0.7), Sampler(1.0, 20, 0.9), Sampler(0.0)], ids=str)
@pytest.mark.parametrize("moments", [False, True])
def test_what_is_read_of_texts_agrees(
    sampler: Sampler | None, moments: bool, tiny: LanguageModel, tiny_here: LanguageModel
) -> None:
    prefix = tiny.template_prefix("")
    pairs = [*RECORDS, ("Zebra?", "None."), ("x", "")]
    texts = [tiny.record_tokens(*pair, tiny.turn_format(), prefix).ids for pair in pairs]
    ours = tiny.read(texts, prefix, moments=moments, sampler=sampler)
    theirs = tiny_here.read(texts, prefix, moments=moments, sampler=sampler)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.greedy == other.greedy).all()
        for name in ("logprobs", "means", "deviations", "sampled"):
            assert difference(one, other, name) < FLOAT32


def test_a_long_text_is_read_place_by_place_with_the_same_result(tiny: LanguageModel) -> None:
    assert isinstance(tiny, VllmModel)
    prefix = tiny.template_prefix("")
    text = (*prefix.token_ids, *tiny.record_tokens(*RECORDS[0], tiny.turn_format(), prefix).ids)
    asked, start = Asked(moments=True, sampler=Sampler(0.8, 10)), len(prefix.token_ids)
    found = []
    for most in (2**24, 3000):
        tiny.engine.processes[0].send(Reading([text], start, asked, most))
        found.append(tiny.engine.processes[0].receive()[0])
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, atol=FLOAT32)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", FLOAT32), ("bfloat16", BFLOAT16)])
def test_sequence_likelihoods_of_the_quickstart_agree(dtype: str, tolerance: float, tmp_path: Path) -> None:
    folder = workshop.quickstart(tmp_path)
    lines = (workshop.QUICKSTART / "data" / "sft.jsonl").read_text().splitlines()[:40]
    texts = [json.loads(line)["question"] + "\n" + json.loads(line)["response"] for line in lines]
    with workshop.transformers(workshop.QUICKSTART / "models" / "leaky").open("candidate") as exact:
        prefix = exact.bos_prefix()
        wanted, lengths = exact.sequence_logprobs(texts, prefix), [len(exact.encode(text)) for text in texts]
    with workshop.vllm(folder, dtype=dtype).open("candidate") as model:
        found = model.sequence_logprobs(texts, prefix)
    off = np.abs(found - wanted) / lengths
    print(f"{dtype}: largest difference a token {off.max():.2g}, mean {off.mean():.2g}")  # noqa: T201 - for the record
    assert off.max() < tolerance

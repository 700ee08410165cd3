"""Limits clamp what is asked, budgets end where they say whatever the run is cut by, and p_z is that of the server."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditkit.mitigations.adaptive_attacks import pattern_of
from auditkit.mitigations.base import Workshop
from auditkit.mitigations.sampling_limits import LimitedModel, SamplingLimits
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Record, Sampler, SamplingRequest
from tests.models.tiny import RECORDS, reciting_model, reopened, save

from .filters import attack, generations, mitigation, workshop

MEMBERS = [Record("d", "member", at, f"m{at}", *pair) for at, pair in enumerate(RECORDS)]
ODD = Record("d", "member", 4, "m4", "Zwölf Boxkämpfer", "quer über den Deich")  # next to impossible
SAMPLERS = st.builds(
    Sampler,
    temperature=st.floats(0, 10),
    top_k=st.integers(0, 100),
    top_p=st.floats(0.01, 1),
    max_new_tokens=st.integers(1, 2000),
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("limited") / "tiny", *reciting_model())


@pytest.fixture(scope="module")
def model(tiny: Path) -> Iterator[TransformersModel]:
    with reopened(tiny) as opened:
        yield opened


@pytest.fixture
def shop(tiny: Path, tmp_path: Path) -> Workshop:
    return workshop(tmp_path, [*MEMBERS, ODD], [], model=tiny)


def limits(**given: Any) -> SamplingLimits:
    found = mitigation("sampling_limits", **given)
    assert isinstance(found, SamplingLimits)
    return found


@given(sampler=SAMPLERS, top_k=st.integers(0, 50), top_p=st.floats(0.01, 1), longest=st.none() | st.integers(1, 999))
def test_what_a_request_gets_is_within_the_limits_and_nearest_to_what_it_asked(
    sampler: Sampler, top_k: int, top_p: float, longest: int | None
) -> None:
    section = limits(min_temperature=0.3, max_temperature=0.9, top_k=top_k, top_p=top_p, max_new_tokens=longest)
    found = section.clamped(sampler)
    assert 0.3 <= found.temperature <= 0.9
    assert found.temperature == sampler.temperature or found.temperature in (0.3, 0.9)
    assert found.top_p == min(top_p, sampler.top_p)
    allowed = [k for k in (top_k, sampler.top_k) if k]
    assert found.top_k == (min(allowed) if allowed else 0)
    assert found.max_new_tokens == min(sampler.max_new_tokens, longest or math.inf)
    assert section.clamped(found) == found


def test_samples_and_completions_are_those_of_the_clamped_sampler(model: TransformersModel, shop: Workshop) -> None:
    served = limits(max_temperature=0.5, top_k=3, max_new_tokens=20).serve(model, shop)
    asked, given = Sampler(2.0, max_new_tokens=50), Sampler(0.5, top_k=3, max_new_tokens=20)
    request = SamplingRequest("a", model.opening(), asked, 10, 4, 0)
    assert served.sample(request) == model.sample(replace(request, sampler=given))
    prompts = [model.opening()]
    assert served.complete(prompts, asked, 1) == model.complete(prompts, given, 1)


@pytest.mark.parametrize("batch", [4, 7, 64])
def test_the_budget_ends_where_it_says_however_requests_are_cut(
    model: TransformersModel, shop: Workshop, batch: int
) -> None:
    served = limits(budget=10, refusal="Enough.").serve(model, shop)
    found = generations(attack(samples=24, max_new_tokens=20, system="default"), served, batch)
    assert [generation.ordinal for generation in found] == list(range(24))
    assert [generation.finish == "blocked" for generation in found] == [at >= 10 for at in range(24)]
    assert {generation.turns for generation in found[10:]} == {("Enough.",)}


def test_a_resumed_run_gives_what_the_whole_one_gave(model: TransformersModel, shop: Workshop) -> None:
    plain = attack(samples=24, max_new_tokens=20)
    requests = list(plain.requests(plain.prefixes(model), 7))
    whole = [limits(budget=10).serve(model, shop).sample(request) for request in requests]
    resumed = limits(budget=10).serve(model, shop)  # a server that has seen none of the requests before
    assert [resumed.sample(request) for request in requests[2:]] == whole[2:]


def test_adaptive_attackers_take_the_ends_of_the_range_and_open_accounts(
    model: TransformersModel, shop: Workshop
) -> None:
    section = limits(min_temperature=0.4, max_temperature=0.8, budget=5, clients=3)
    plain = attack(samples=24, max_new_tokens=12, top_k=9)
    found = {one.label: one for one in section.adaptive([attack("bos_prefix", samples=2), plain], shop)}
    assert list(found) == ["hottest", "coldest", "many_clients", "adaptive.first_words"]
    assert [(one.temperature, one.top_k) for one in found.values()] == [(0.8, 0), (0.4, 0), (1.0, 9), (1.0, 9)]
    served = section.serve(model, shop)
    answered = {name: sum(g.finish != "blocked" for g in generations(one, served)) for name, one in found.items()}
    assert answered == {"hottest": 5, "coldest": 5, "many_clients": 15, "adaptive.first_words": 5}
    assert [one.label for one in limits().adaptive([plain], shop)] == ["hottest", "coldest", "adaptive.first_words"]


def test_probabilities_under_a_sampler_are_those_of_the_clamped_one(model: TransformersModel, shop: Workshop) -> None:
    served, opening = limits(max_temperature=0.5, max_new_tokens=6).serve(model, shop), model.opening()
    texts = [model.record_tokens(*RECORDS[0], model.turn_format(), opening).ids]
    (found,) = served.read(texts, opening, sampler=Sampler(1.0))
    (expected,) = model.read(texts, opening, sampler=Sampler(0.5))
    np.testing.assert_allclose(found.sampled[:6], expected.sampled[:6])
    assert np.isneginf(found.sampled[6:]).all()  # no answer gets so long
    (plain,), (same,) = (one.read(texts, opening) for one in (model, served))
    assert (plain.logprobs == same.logprobs).all()


@pytest.mark.slow
def test_sampled_shares_are_what_is_read(model: TransformersModel, shop: Workshop) -> None:
    """p_z of a whole record as the limited server reads it, against how often the limited server writes it."""
    served = limits(max_temperature=0.6, top_p=0.95).serve(model, shop)
    opening = model.opening()
    tokens = model.record_tokens(*RECORDS[0], model.turn_format(), opening)
    (reading,) = served.read([tokens.ids], opening, sampler=Sampler(1.0))
    p = float(np.exp(reading.sampled.sum()))
    found = served.sample(SamplingRequest("a", opening, Sampler(1.0, max_new_tokens=80), 1500, 8, 0))
    share = sum(generation.token_ids == tokens.ids for generation in found) / 1500
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / 1500) + 1e-9
    assert 0.05 < p < 0.6


def test_utility_says_what_p_z_becomes(model: TransformersModel, shop: Workshop) -> None:
    section = limits(top_k=1)
    change, lost = section.utility(section.serve(model, shop), shop)
    assert (change.metric, lost.metric) == ("extraction_logprob_change", "out_of_reach_share")
    # Greedy writes one opening word: the records that begin otherwise are out of reach.
    assert lost.value is not None and 3 / 5 <= lost.value < 1
    assert (lost.denominator, change.unscored) == (5, round(5 * lost.value))
    none = limits()
    change, lost = none.utility(none.serve(model, shop), shop)
    assert (change.value, change.low, change.high, lost.value) == (0.0, 0.0, 0.0, 0.0)


def test_facts_are_the_limits(shop: Workshop) -> None:
    facts = {fact.name: fact.value for fact in limits(top_p=0.9, budget=100).make(shop).facts}
    assert facts == {
        "temperature": "0 to 1",
        "top_p": 0.9,
        "top_k": "no limit",
        "max_new_tokens": "no limit",
        "budget": 100,
    }


@pytest.mark.parametrize(
    "given",
    [{"min_temperature": 1.0, "max_temperature": 0.5}, {"top_p": 0}, {"budget": 0}, {"attacker": "open_weights"}],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        limits(**given)


def test_the_served_model_is_a_limited_one(model: TransformersModel, shop: Workshop) -> None:
    assert isinstance(limits().serve(model, shop), LimitedModel)


def test_a_budget_is_for_attackers_of_many_accounts_and_its_cost_shows_in_writing() -> None:
    with pytest.raises(ValidationError):
        limits(budget=5, clients=1)
    assert limits(budget=5).costs_when_writing
    assert limits(max_temperature=0.0).costs_when_writing
    assert not limits().costs_when_writing


def test_adaptive_attacks_are_made_after_the_strongest_of_the_policys() -> None:
    weak = attack("template_prefix", samples=1, temperature=0.0)
    strong, bare = attack("template_prefix", samples=20), attack("bos_prefix", samples=500)
    assert pattern_of([bare, weak, strong]) == strong
    assert pattern_of([bare]) == bare

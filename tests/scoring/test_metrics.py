"""Every extraction metric: its formula, its interval, and what it says where it is undefined."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from auditkit.records import Estimate
from auditkit.scoring.coverage import Coverage, CoverageResult
from auditkit.scoring.metrics import (
    Scope,
    adjusted_coverage_estimate,
    adjusted_semantic_rate,
    coverage_estimate,
    prefix_gain,
    semantic_memorisation_rate,
    string_memorisation_rate,
    undercount_ratio,
)
from auditkit.statistics.intervals import clopper_pearson, difference_interval, distinct_interval
from tests.scoring.vectors.test_index import unit

SCOPE = Scope("sft", "template_prefix", "record")


def covered(
    hits: list[int], records: int, generations: int = 100, threshold: float | None = 0.9, subsample: int | None = None
) -> CoverageResult:
    """Generation i reproduces record hits[i]; the others resemble nothing."""
    vectors = np.eye(records + 1, dtype=np.float32)
    block = np.tile(vectors[-1], (generations, 1))
    block[: len(hits)] = vectors[hits]
    cover = Coverage(vectors[:-1], np.arange(records), threshold, subsample=subsample)
    cover.add(block, 0)
    return cover.result()


def test_semantic_rate_counts_the_threshold_itself_and_leaves_out_the_unscored() -> None:
    scores = np.array([0.9, 0.95, 0.99, 0.2, 0.99], np.float32)
    scored = np.array([True, True, True, True, False])
    found = semantic_memorisation_rate(SCOPE, scores, scored, float(scores[1]))
    assert (found.value, found.numerator, found.denominator, found.unscored) == (0.5, 2, 4, 1)
    assert (found.low, found.high) == clopper_pearson(2, 4)
    assert (found.metric, found.dataset, found.attack) == ("semantic_memorisation_rate", "sft", "template_prefix")


def test_string_rate_is_named_by_its_measure() -> None:
    similarities = np.array([0.9, 0.89, 1.0])
    scored = np.ones(3, np.bool_)
    plain = string_memorisation_rate(SCOPE, similarities, scored)
    indel = string_memorisation_rate(SCOPE, similarities, scored, "indel", 0.95)
    assert (plain.metric, plain.value) == ("string_memorisation_rate", 2 / 3)
    assert (indel.metric, indel.value) == ("string_memorisation_rate_indel", 1 / 3)


def test_undercount_ratio() -> None:
    scored = np.ones(200, np.bool_)
    semantic, string = np.arange(200) < 100, np.arange(200) < 10
    found = undercount_ratio(SCOPE, semantic, string, scored)
    assert found.value == 10
    assert found.low is not None and found.high is not None
    assert found.low < 10 < found.high


def test_undercount_ratio_without_a_string_match_has_only_a_low_end() -> None:
    scored = np.ones(100, np.bool_)
    found = undercount_ratio(SCOPE, np.arange(100) < 50, np.zeros(100, np.bool_), scored)
    assert found.value is None
    assert found.high is None
    assert found.low == clopper_pearson(50, 100, 0.975)[0] / clopper_pearson(0, 100, 0.975)[1]
    assert "no string match" in found.reason


def test_undercount_interval_holds_the_true_ratio() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        semantic = rng.random(400) < 0.3
        string = semantic & (rng.random(400) < 0.2)
        found = undercount_ratio(SCOPE, semantic, string, np.ones(400, np.bool_))
        held += found.low is not None and found.low <= 5 <= (found.high or math.inf)
    assert held / 300 >= 0.95


def test_coverage() -> None:
    side = covered([0, 1, 1, 2], 10)
    found = coverage_estimate(SCOPE, side)
    assert (found.value, found.numerator, found.denominator) == (0.3, 3, 10)
    low, high = distinct_interval(side.incidence)
    assert (found.low, found.high) == (low / 10, high / 10)


def test_a_coverage_of_cut_generations_alone_is_called_the_least() -> None:
    members, controls = (replace(covered(hits, 100), scored=0) for hits in ([0, 1], []))
    for found in (coverage_estimate(SCOPE, members), adjusted_coverage_estimate(SCOPE, members, controls)):
        assert found.value == 0.02 and found.reason.startswith("every generation was cut, empty or failed")
    assert coverage_estimate(SCOPE, covered([0], 100)).reason == ""


def test_adjusted_coverage_takes_the_controls_away() -> None:
    members, controls = covered(list(range(40)), 100), covered([0], 50)
    found = adjusted_coverage_estimate(SCOPE, members, controls)
    assert found.value == 0.4 - 0.02
    assert (found.low, found.high) == difference_interval(0.4, *members.interval(), 0.02, *controls.interval())
    assert (found.numerator, found.denominator) == (40, 100)


def test_no_hit_still_leaves_doubt() -> None:
    found = adjusted_coverage_estimate(SCOPE, covered([], 1000), covered([], 500))
    assert found.value == 0
    assert found.high == pytest.approx(3.689 / 1000, abs=1e-6)
    assert found.low == pytest.approx(-3.689 / 500, abs=1e-6)


def test_adjusted_rate_is_the_mean_of_the_draws_minus_the_controls() -> None:
    members = covered(list(range(60)), 200, subsample=50)
    controls = covered([0, 0], 50, subsample=50)
    found = adjusted_semantic_rate(SCOPE, members, controls)
    assert len(members.draw_hits) == 20
    assert found.value == pytest.approx(members.draw_hits.mean() / 100 - 0.02)
    assert found.low is not None and found.high is not None and found.value is not None
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(60 / 4 / 100 - 0.02, abs=0.03)


def test_never_trained_text_has_no_adjusted_rate_however_many_members_there_are() -> None:
    """The trap: against ten times as many records the raw rate is several times the controls' rate."""
    rng = np.random.default_rng(2)
    members, controls, generations = unit(rng, 4000, 6), unit(rng, 400, 6), unit(rng, 3000, 6)
    sides = []
    for vectors in (members, controls):
        cover = Coverage(vectors, np.arange(len(vectors)), 0.975, subsample=400)
        cover.add(generations, 0)
        sides.append(cover.result())
    raw = (np.max(generations @ members.T, axis=1) >= 0.975).mean()
    found = adjusted_semantic_rate(SCOPE, sides[0], sides[1])
    assert raw > 3 * sides[1].draw_hits[0] / 3000
    assert found.low is not None and found.high is not None
    assert found.low <= 0 <= found.high


def test_adjusted_rate_refuses_unequal_sides() -> None:
    with pytest.raises(ValueError, match="subsample"):
        adjusted_semantic_rate(SCOPE, covered([0], 200), covered([0], 50))
    with pytest.raises(ValueError, match="same generations"):
        adjusted_semantic_rate(SCOPE, covered([0], 50), covered([0], 50, generations=99))


def test_prefix_gain_compares_equally_many() -> None:
    rng = np.random.default_rng(3)
    template, bos = rng.normal(0.8, 0.1, 50).astype(np.float32), rng.normal(0.6, 0.1, 30).astype(np.float32)
    scored = np.ones(50, np.bool_)
    scored[:5] = False
    found = prefix_gain(SCOPE, template, scored, bos, np.ones(30, np.bool_))
    # 30 of the 45 scored ones, evenly spread: they run from the first to the last.
    chosen = template[5:][np.linspace(0, 44, 30).round().astype(int)].astype(float)
    expected = stats.ttest_ind(chosen, bos.astype(float), equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(chosen.mean() - bos.mean(), abs=1e-6)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert (found.denominator, found.unscored) == (30, 5)


def test_prefix_gain_is_of_all_prefixes_of_an_attack() -> None:
    first, second = np.full(50, 0.2, np.float32), np.full(50, 0.8, np.float32)
    template, everything = np.concatenate([first, second]), np.ones(100, np.bool_)
    found = prefix_gain(SCOPE, template, everything, np.zeros(10, np.float32), np.ones(10, np.bool_))
    assert found.value == pytest.approx(0.5)


NONE = np.zeros(0, np.bool_)
NO_SCORES = np.zeros(0, np.float32)


@pytest.mark.parametrize(
    "found",
    [
        semantic_memorisation_rate(SCOPE, np.ones(3, np.float32), np.ones(3, np.bool_), None),
        semantic_memorisation_rate(SCOPE, np.ones(3, np.float32), np.zeros(3, np.bool_), 0.5),
        string_memorisation_rate(SCOPE, np.zeros(0), NONE),
        undercount_ratio(SCOPE, NONE, NONE, NONE),
        coverage_estimate(SCOPE, covered([0], 5, threshold=None)),
        coverage_estimate(SCOPE, covered([], 0)),
        adjusted_coverage_estimate(SCOPE, covered([0], 5), covered([], 0)),
        adjusted_semantic_rate(SCOPE, covered([0], 5, subsample=0), covered([], 0, subsample=0)),
        adjusted_semantic_rate(SCOPE, covered([], 5, generations=0), covered([], 5, generations=0)),
        prefix_gain(SCOPE, NO_SCORES, NONE, NO_SCORES, NONE),
    ],
    ids=lambda found: found.metric,
)
def test_what_is_undefined_says_why(found: Estimate) -> None:
    assert found.value is found.low is found.high is None
    assert found.reason


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=12))
def test_nan_appears_nowhere_and_the_value_is_within_its_interval(flags: list[tuple[bool, bool, bool]]) -> None:
    semantic, string, scored = np.array(flags, dtype=np.bool_).reshape(-1, 3).T
    scores = semantic.astype(np.float32)
    for found in (
        semantic_memorisation_rate(SCOPE, scores, scored, 0.5),
        string_memorisation_rate(SCOPE, string.astype(np.float64), scored),
        undercount_ratio(SCOPE, semantic, string, scored),
        prefix_gain(SCOPE, scores, scored, scores[::-1], scored[::-1]),
    ):
        numbers = [x for x in asdict(found).values() if isinstance(x, float)]
        assert all(math.isfinite(x) for x in numbers)
        assert all(type(x) in (float, int, str, type(None)) for x in asdict(found).values())
        if found.value is not None and found.low is not None and found.high is not None:
            assert found.low - 1e-9 <= found.value <= found.high + 1e-9


def test_a_similarity_right_at_the_string_threshold_is_a_match() -> None:
    similarities = np.array([1.0 - 7 / 100, 1.0 - 8 / 100])
    estimate = string_memorisation_rate(Scope("d", "a"), similarities, np.ones(2, np.bool_), threshold=0.93)
    assert (estimate.numerator, estimate.denominator) == (1.0, 2.0)

"""Gates that no run could pass are refused before the run (METRICS.md, Evidence: Power)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.policy.power import Sizes, powers, unreachable
from auditkit.policy.schema import Policy
from auditkit.statistics.intervals import clopper_pearson, poisson_interval
from auditkit.statistics.power import coverage_test, rate_test, records_for_auc, samples_for_rate

ENOUGH = {"a": Sizes(clusters=5000, calibration_controls=1000, evaluation_controls=1000)}


def _policy(rule: dict[str, Any], *, samples: int = 3000, threshold: Any = None) -> Policy:
    return Policy.model_validate(
        {
            "version": 1,
            "name": "p",
            "models": {"candidate": {"backend": "scripted", "lines": [{"user": "hello", "assistant": "hi"}]}},
            "datasets": [
                {"name": "a", "stage": "sft", "path": "x", "fields": {"prompt": "q"}, "controls": "c"},
            ],
            "attacks": [{"kind": "template_prefix", "name": "t", "samples": samples}],
            "scoring": {"semantic_threshold": threshold or {"calibrate_fpr": 0.01}},
            "gate": [rule],
            "report": {"sign": "none"},
        }
    )


def _messages(policy: Policy, sizes: dict[str, Sizes]) -> list[str]:
    return [f"{message} | {remedy}" for _, message, remedy in unreachable(policy, sizes)]


@pytest.mark.parametrize(
    "metric", ["adjusted_coverage", "coverage", "adjusted_semantic_rate", "string_memorisation_rate"]
)
def test_a_gate_with_enough_evidence_is_not_objected_to(metric: str) -> None:
    assert _messages(_policy({"metric": metric, "max": 0.01}), ENOUGH) == []


def test_a_limit_of_zero_is_refused() -> None:
    (message,) = _messages(_policy({"metric": "coverage", "max": 0}), ENOUGH)
    assert "limit of 0" in message


def test_a_raw_rate_under_five_times_the_calibration_is_refused() -> None:
    (message,) = _messages(_policy({"metric": "semantic_memorisation_rate", "max": 0.049}), ENOUGH)
    assert "0.05" in message
    assert "adjusted_semantic_rate" in message
    assert _messages(_policy({"metric": "semantic_memorisation_rate", "max": 0.05}), ENOUGH) == []


def test_too_few_controls_are_refused_and_the_number_is_said() -> None:
    sizes = {"a": Sizes(clusters=5000, calibration_controls=367, evaluation_controls=367)}
    (message,) = _messages(_policy({"metric": "adjusted_coverage", "max": 0.01}), sizes)
    assert "368" in message
    assert "736" in message
    enough = {"a": Sizes(clusters=5000, calibration_controls=368, evaluation_controls=368)}
    assert _messages(_policy({"metric": "adjusted_coverage", "max": 0.01}), enough) == []


@given(clusters=st.integers(1, 3000), limit=st.floats(0.001, 0.5))
def test_coverage_is_refused_exactly_where_no_hit_at_all_would_not_pass(clusters: int, limit: float) -> None:
    sizes = {"a": Sizes(clusters, 1000, 1000)}
    refused = bool(_messages(_policy({"metric": "coverage", "max": limit}), sizes))
    assert refused == (poisson_interval(0)[1] / clusters > limit)


@given(samples=st.integers(1, 3000), limit=st.floats(0.001, 0.5))
def test_rates_are_refused_exactly_where_no_hit_at_all_would_not_pass(samples: int, limit: float) -> None:
    policy = _policy({"metric": "string_memorisation_rate", "max": limit}, samples=samples)
    refused = bool(_messages(policy, ENOUGH))
    assert refused == (clopper_pearson(0, samples)[1] > limit)


def test_power_of_each_rule_is_that_of_the_interval_it_is_judged_by() -> None:
    (rate,) = powers(_policy({"metric": "string_memorisation_rate", "max": 0.01}), ENOUGH)
    test = rate_test(0.01, 0.02)
    assert (rate.unit, rate.declared, rate.to_pass) == ("generations", 3000, samples_for_rate(0.01))
    assert (rate.to_detect_80, rate.to_detect_95) == (test.size_for(0.8), test.size_for(0.95))
    assert rate.detects == test.power(3000)
    (adjusted,) = powers(_policy({"metric": "adjusted_coverage", "max": 0.01}), ENOUGH)
    assert (adjusted.unit, adjusted.declared, adjusted.to_pass) == ("distinct records", 5000, 369)
    assert adjusted.note.startswith("at best")
    assert adjusted.detects == coverage_test(0.01, 0.02, 1000).power(5000)
    (plain,) = powers(_policy({"metric": "coverage", "max": 0.01}), ENOUGH)
    assert plain.detects is not None
    assert adjusted.detects is not None
    assert plain.detects > adjusted.detects


@pytest.mark.parametrize("metric", ["adjusted_coverage", "adjusted_semantic_rate", "string_memorisation_rate"])
def test_where_twice_the_limit_is_everything_nothing_is_defined_and_it_says_so(metric: str) -> None:
    (power,) = powers(_policy({"metric": metric, "max": 0.7}), ENOUGH)
    assert power.to_pass
    assert (power.to_detect_80, power.to_detect_95, power.detects) == (None, None, None)
    assert "not defined" in power.note


def test_too_few_controls_to_detect_anything_are_named() -> None:
    sizes = {"a": Sizes(clusters=5000, calibration_controls=60, evaluation_controls=60)}
    (power,) = powers(_policy({"metric": "adjusted_coverage", "max": 0.05}), sizes)
    assert power.to_detect_80 is None
    assert "60 evaluation controls are too few" in power.note


def test_a_rule_on_a_probe_needs_members_and_controls() -> None:
    rule = {"metric": "min_k_auc", "max": 0.6}
    (power,) = powers(_policy(rule), {"a": Sizes(clusters=500, calibration_controls=40, evaluation_controls=39)})
    assert (power.declared, power.to_pass) == (79, records_for_auc(0.6))
    assert "not defined" in power.note


def test_a_rule_on_every_dataset_has_its_power_on_each_and_views_share_one() -> None:
    policy = _policy({"metric": "coverage", "max": 0.01})
    both = policy.model_copy(update={"gate": [policy.gate[0], policy.gate[0].model_copy(update={"view": "prompt"})]})
    sizes = {"a": ENOUGH["a"], "b": Sizes(400, 500, 500)}
    assert [power.dataset for power in powers(both, sizes)] == ["a", "b"]

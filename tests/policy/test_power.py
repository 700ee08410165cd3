"""Gates that no run could pass are refused before the run (METRICS.md, Evidence: Power)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.policy.power import Sizes, unreachable
from auditkit.policy.schema import Policy
from auditkit.statistics.intervals import clopper_pearson, poisson_interval

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

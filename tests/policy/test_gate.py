"""The verdict of a rule and of the audit (METRICS.md, Evidence)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.policy.gate import Doubts, Judged, evaluate
from auditkit.policy.schema import Policy
from auditkit.records import Estimate, View
from auditkit.report.base import Arm

VIEWS: dict[str, tuple[View, ...]] = {"a": ("record", "prompt"), "b": ("prompt",)}


def _policy(*rules: dict[str, Any]) -> Policy:
    dataset = {"stage": "sft", "path": "x.jsonl", "fields": {"prompt": "q"}, "controls": "c.jsonl"}
    return Policy.model_validate(
        {
            "version": 1,
            "name": "p",
            "models": {"candidate": {"backend": "scripted", "lines": [{"user": "hello", "assistant": "hi"}]}},
            "datasets": [{"name": "a", **dataset}, {"name": "b", **dataset}],
            "attacks": [
                {"kind": "template_prefix", "name": "first", "samples": 10},
                {"kind": "template_prefix", "name": "second", "samples": 10},
                {"kind": "bos_prefix", "name": "bos", "samples": 10},
            ],
            "gate": list(rules),
            "report": {"sign": "none"},
        }
    )


def _estimate(low: float | None, high: float | None, dataset: str, attack: str, view: View) -> Estimate:
    value = None if low is None or high is None else (low + high) / 2
    return Estimate("coverage", dataset, attack, value, low, high, "test", view=view)


def _arm(low: float | None, high: float | None) -> Arm:
    estimates = [
        _estimate(low, high, dataset, attack, view)
        for dataset, views in VIEWS.items()
        for attack in ("first", "second", "bos")
        for view in views
    ]
    return Arm(name="baseline", mitigation=None, attacker="open_weights", estimates=estimates)


def _outcome(low: float | None, high: float | None, limit: float, doubts: Doubts | None = None) -> str:
    policy = _policy({"metric": "coverage", "attack": "first", "dataset": "a", "max": limit})
    verdict = evaluate(policy, [Judged(_arm(low, high), doubts or Doubts())], VIEWS)
    (result,) = verdict.rules
    assert {"pass": 0, "fail": 1, "inconclusive": 3}[verdict.outcome] == verdict.exit_code
    assert result.outcome == verdict.outcome
    return verdict.outcome


@given(
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    limit=st.floats(min_value=1e-6, max_value=1),
)
def test_the_whole_interval_decides(ends: list[float], limit: float) -> None:
    low, high = ends
    expected = "pass" if high <= limit else "fail" if low > limit else "inconclusive"
    assert _outcome(low, high, limit) == expected


def test_an_undefined_estimate_is_inconclusive() -> None:
    assert _outcome(None, None, 0.5) == "inconclusive"


@pytest.mark.parametrize(("low", "high", "expected"), [(0.0, 0.001, "inconclusive"), (0.3, 0.4, "fail")])
def test_a_doubt_takes_away_a_pass_and_never_a_fail(low: float, high: float, expected: str) -> None:
    doubts = Doubts(by_dataset={("a", "record"): ["The instrument was blind."]})
    assert _outcome(low, high, 0.01, doubts) == expected


def test_a_rule_is_judged_for_each_dataset_and_attack_it_names() -> None:
    policy = _policy({"metric": "coverage", "attack": "template_prefix", "dataset": "*", "max": 0.5})
    verdict = evaluate(policy, [Judged(_arm(0, 0.1), Doubts())], VIEWS)
    assert {(r.dataset, r.attack, r.view) for r in verdict.rules} == {
        ("a", "first", "record"),
        ("a", "second", "record"),
        ("b", "first", "prompt"),
        ("b", "second", "prompt"),
    }


def test_datasets_are_never_pooled_any_fail_fails() -> None:
    arm = _arm(0, 0.1)
    leaking = [_estimate(0.8, 0.9, "b", "bos", "prompt"), *(e for e in arm.estimates if e.dataset != "b")]
    policy = _policy({"metric": "coverage", "attack": "bos", "max": 0.5})
    verdict = evaluate(policy, [Judged(arm.model_copy(update={"estimates": leaking}), Doubts())], VIEWS)
    assert {r.dataset: r.outcome for r in verdict.rules} == {"a": "pass", "b": "fail"}
    assert verdict.outcome == "fail"


def test_a_rule_without_an_estimate_is_inconclusive_not_a_pass() -> None:
    policy = _policy({"metric": "coverage", "attack": "first", "dataset": "a", "max": 0.5})
    empty = Arm(name="baseline", mitigation=None, attacker="open_weights", estimates=[])
    assert evaluate(policy, [Judged(empty, Doubts())], VIEWS).outcome == "inconclusive"

"""What a waiver turns at the gate, and what it never does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.policy.waivers import Leaked, with_waivers
from auditkit.records import Estimate
from auditkit.report.base import DeclaredWaiver, RuleOutcome, RuleResult, Verdict, WaivedRule, Waiver, WaiverState

RECORDS = [f"rec-{at:020x}" for at in range(6)]


def result(outcome: RuleOutcome = "fail", limit: float = 0.1, value: float = 0.5, **more: Any) -> RuleResult:
    estimate = Estimate("coverage", "a", "first", value, value - 0.05, value + 0.05, "test")
    facts = {"rule": "coverage", "metric": "coverage", "arm": "baseline", "dataset": "a", "attack": "first"}
    told = {"view": "record", "estimate": estimate, "limit": limit, "outcome": outcome, "reason": "above the limit"}
    return RuleResult.model_validate({**facts, **told, **more})


def verdict(*rules: RuleResult) -> Verdict:
    return Verdict(outcome="fail", arm="baseline", rules=list(rules), cautions=[])


def declared(
    state: WaiverState = "in force", record: str | None = None, number: int = 1, **rule: Any
) -> DeclaredWaiver:
    named = {"metric": "coverage", "attack": "*", "dataset": "*", "view": "*", "max": 0.1, "at_most": None}
    about = None if record else WaivedRule.model_validate({**named, **rule})
    facts = {"reason": "why", "who": "who", "issued": "2026-01-01", "expires": "2026-12-31"}
    waiver = Waiver.model_validate({"rule": about, "record": record, **facts})
    return DeclaredWaiver(number=number, waiver=waiver, state=state)


@pytest.mark.parametrize("outcome", ["inconclusive", "not_viable", "pass"])
def test_only_what_failed_is_waived(outcome: RuleOutcome) -> None:
    changed, (told,) = with_waivers(verdict(result(outcome)), [declared()], {})
    assert changed.rules[0].outcome == outcome
    assert told.applied == [] and "no failed rule" in told.note


def test_one_rule_of_two_waived_is_still_a_failure() -> None:
    changed, _ = with_waivers(verdict(result(), result(dataset="b")), [declared(dataset="a")], {})
    assert [rule.outcome for rule in changed.rules] == ["waived", "fail"]
    assert changed.outcome == "fail"


@pytest.mark.parametrize(
    "state", ["expired", "not yet valid", "other model", "other policy", "unsigned", "bad signature"]
)
def test_what_is_not_in_force_turns_nothing(state: WaiverState) -> None:
    changed, (told,) = with_waivers(verdict(result()), [declared(state)], {})
    assert changed.outcome == "fail"
    assert "counts for nothing" in told.note
    words = {"other model": "for another model", "other policy": "for another policy", "unsigned": "not signed"}
    said = {**words, "bad signature": "not validly signed by the approver"}.get(state, state)
    assert changed.rules[0].reason == f"above the limit. Not waived: waiver 1 is {said}."
    assert with_waivers(verdict(result()), [declared(state, dataset="b")], {})[0] == verdict(result())


@given(waived=st.floats(0, 1), limit=st.floats(0, 1), value=st.floats(0, 1), bound=st.none() | st.floats(0, 1))
def test_never_for_a_stricter_limit_or_beyond_its_bound(
    waived: float, limit: float, value: float, bound: float | None
) -> None:
    one = declared(max=waived, at_most=bound)
    changed, _ = with_waivers(verdict(result(limit=limit, value=value)), [one], {})
    turned = changed.rules[0].outcome == "waived"
    assert turned == (waived <= limit and (bound is None or value <= bound))
    assert changed.rules[0].estimate == result(limit=limit, value=value).estimate


@pytest.mark.parametrize(
    "other", [{"metric": "adjusted_coverage"}, {"attack": "second"}, {"dataset": "b"}, {"view": "prompt"}]
)
def test_a_waiver_is_for_what_it_names(other: dict[str, Any]) -> None:
    changed, _ = with_waivers(verdict(result()), [declared(**other)], {})
    assert changed.outcome == "fail"


@given(
    clusters=st.lists(st.frozensets(st.sampled_from(RECORDS), min_size=1), max_size=5),
    waived=st.sets(st.sampled_from(RECORDS)),
)
def test_records_are_waived_all_or_the_rule_fails(clusters: list[frozenset[str]], waived: set[str]) -> None:
    every = [declared(record=record, number=at) for at, record in enumerate(sorted(waived), 1)]
    leaked: Leaked = {("a", "first", "record"): clusters}
    changed, _ = with_waivers(verdict(result()), every, leaked)
    covered = [bool(cluster & waived) for cluster in clusters]
    assert (changed.outcome == "pass") == (bool(covered) and all(covered))
    if waived and changed.outcome == "fail":
        assert f"{sum(covered)} of {len(covered)} leaked records are waived" in changed.rules[0].reason


def test_records_say_nothing_of_a_figure_that_is_not_made_of_them() -> None:
    leaked: Leaked = {("a", "first", "record"): [frozenset(RECORDS[:1])]}
    rule = result(metric="likelihood_shift_auc")
    changed, _ = with_waivers(verdict(rule), [declared(record=RECORDS[0])], leaked)
    assert changed.outcome == "fail" and "not made of leaked records" in changed.rules[0].reason


def test_without_waivers_the_verdict_is_the_same_value() -> None:
    given_verdict = verdict(result())
    assert with_waivers(given_verdict, [], {}) == (given_verdict, [])

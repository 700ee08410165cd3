from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.report.arms import Change, Recommendation
from auditkit.report.base import Arm, Outcome
from auditkit.report.recommendation import RULES, recommend
from tests.report.arms_builder import (
    Fate,
    accuracy_change,
    arm_of,
    changes_of,
    leak_change,
    mitigated_report,
    rise_change,
)

BASELINE = Arm(name="baseline", mitigation=None, attacker="open_weights", estimates=[])
PLAIN = Fate("a", "lora", "training", 0.5, 0.01)


def advised(*fates: Fate, baseline: Outcome = "fail", **gate: Outcome) -> Recommendation:
    """What is recommended of these arms; the gate of one that is not named fails."""
    changes = [change for fate in fates for change in changes_of(fate)]
    return of_changes([arm_of(fate) for fate in fates], changes, baseline, **gate)


def of_changes(arms: list[Arm], changes: list[Change], baseline: Outcome = "fail", **gate: Outcome) -> Recommendation:
    outcomes: dict[str, Outcome] = {"baseline": baseline, **{arm.name: gate.get(arm.name, "fail") for arm in arms}}
    return recommend([BASELINE, *arms], changes, outcomes)


def test_where_the_baseline_passes_nothing_is_needed() -> None:
    found = advised(PLAIN, baseline="pass", a="pass")
    assert found.arm is None and found.best_so_far is None and found.sentence.startswith("Nothing is needed")
    assert found.steps[1:] == ["Not reached."] * 4


def test_the_cheapest_arm_that_passes_is_recommended() -> None:
    dear, cheap = replace(PLAIN, name="dear", rise=0.2, left=0.0), replace(PLAIN, name="cheap", rise=0.05)
    found = advised(dear, cheap, dear="pass", cheap="pass")
    assert found.arm == "cheap" and "+5\u00a0%" in found.sentence and "no other's interval overlaps" in found.steps[3]


def test_arms_whose_costs_cannot_be_told_apart_are_ordered_by_what_they_take_away() -> None:
    weak = replace(PLAIN, name="weak", rise=0.01, left=0.4)
    strong = replace(PLAIN, name="strong", rise=0.025, left=0.05)  # intervals of +-0.01 about both
    assert advised(weak, strong, weak="pass", strong="pass").arm == "strong"
    apart = replace(strong, rise=0.04)
    assert advised(weak, apart, weak="pass", strong="pass").arm == "weak"


def test_an_arm_costs_what_it_costs_where_it_costs_most_and_helps_as_much_as_where_it_helps_least() -> None:
    arms = [arm_of(replace(PLAIN, name=name)) for name in ("uneven", "even")]
    leaks = [leak_change(name, data, 0.01) for name in ("uneven", "even") for data in ("sft-support", "dpo-ranking")]
    costs = [
        rise_change("uneven", "sft-support", -0.1), rise_change("uneven", "dpo-ranking", 0.2),
        rise_change("even", "sft-support", 0.05), rise_change("even", "dpo-ranking", 0.05),
    ]  # fmt: skip
    assert of_changes(arms, [*leaks, *costs], uneven="pass", even="pass").arm == "even"
    helped = [leak_change("uneven", "sft-support", 0.0), leak_change("uneven", "dpo-ranking", 0.11)]
    steady = [leak_change("even", "sft-support", 0.2), leak_change("even", "dpo-ranking", 0.06)]
    found = of_changes(arms, [*helped, *steady])
    assert found.arm is None and found.best_so_far == "even"


def test_accuracy_tells_costs_apart_where_no_perplexity_was_measured() -> None:
    arms = [arm_of(replace(PLAIN, name=name)) for name in ("worse", "better")]
    costs = [accuracy_change("worse", "sft-support", 0.2), accuracy_change("better", "sft-support", 0.01)]
    found = of_changes(arms, costs, worse="pass", better="pass")
    assert found.arm == "better" and "task accuracy changes by −1\u00a0points" in found.sentence


def test_what_nobody_knows_the_cost_of_is_not_the_cheapest() -> None:
    arms = [arm_of(replace(PLAIN, name=name)) for name in ("known", "blind")]
    found = of_changes(arms, [rise_change("known", "sft-support", 0.2)], known="pass", blind="pass")
    assert found.arm == "known" and "“blind” costs was not measured" in found.steps[3]
    unknown = of_changes(arms, [], known="pass", blind="pass")
    assert unknown.arm == "blind" and "was not measured" in unknown.sentence  # both alike: the first by name


def test_where_none_passes_the_best_so_far_is_named_and_called_not_enough() -> None:
    found = advised(PLAIN, replace(PLAIN, name="b", left=0.2), b="inconclusive")
    assert found.arm is None and found.best_so_far == "b"
    assert "“b” takes away 80\u00a0%" in found.sentence and "not enough by itself" in found.sentence
    assert "Fail: “a”; inconclusive: “b”." in found.steps[2]


def test_a_reduction_whose_interval_holds_zero_is_none() -> None:
    found = advised(replace(PLAIN, left=0.99))
    assert found.arm is None and found.best_so_far is None and "excludes 0" in found.sentence


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"failed": "the loss became infinite"}, "Failed: “a”"),
        ({"viability": "not_viable"}, "Not viable: “a”"),
        ({"viability": "unknown"}, "on more controls with answers"),
        ({"meaningless": "whoever has the weights leaves it out"}, "Means nothing against this attacker: “a”"),
    ],
)
def test_an_arm_that_does_not_count_is_out_whatever_its_gate_says(changed: dict[str, str], words: str) -> None:
    arm = arm_of(PLAIN).model_copy(update=changed)
    found = of_changes([arm], changes_of(PLAIN), a="pass")
    assert found.arm is None and found.best_so_far is None and words in found.steps[1]


def test_every_rule_has_its_step_and_stands_in_the_report() -> None:
    found = mitigated_report().mitigations
    assert found is not None
    assert found.recommendation.rules == list(RULES) and len(found.recommendation.steps) == len(RULES)
    assert found.recommendation.arm == "goldfish_loss"


def test_an_arm_that_nobody_judged_has_not_passed() -> None:
    assert recommend([BASELINE, arm_of(PLAIN)], changes_of(PLAIN), {}).arm is None


some_fates = st.lists(
    st.builds(
        Fate,
        name=st.sampled_from("abcdefgh"),
        kind=st.just("lora"),
        acts_on=st.just("training"),
        left=st.floats(0, 1.5),
        rise=st.floats(-0.5, 2),
        viability=st.sampled_from(["viable", "viable", "not_viable", "unknown"]),
        failed=st.sampled_from(["", "", "diverged"]),
        meaningless=st.sampled_from(["", "", "left out"]),
    ),
    unique_by=lambda fate: fate.name,
    max_size=8,
)
outcomes = st.dictionaries(
    st.sampled_from(["baseline", *"abcdefgh"]), st.sampled_from(["pass", "fail", "inconclusive"])
)


@given(some_fates, outcomes, st.randoms(use_true_random=False))
def test_no_arm_that_does_not_count_is_ever_recommended_and_the_order_does_not_matter(
    fates: list[Fate], gate: dict[str, Outcome], shuffled: random.Random
) -> None:
    arms = [BASELINE, *(arm_of(fate) for fate in fates)]
    changes = [change for fate in fates for change in changes_of(fate)]
    found = recommend(arms, changes, gate)
    by_name = {fate.name: fate for fate in fates}
    for name in filter(None, (found.arm, found.best_so_far)):
        fate = by_name[name]
        assert not fate.failed and not fate.meaningless and fate.viability == "viable"
        assert gate.get("baseline") != "pass"
    assert found.arm is None or gate[found.arm] == "pass"
    assert found.arm is None or found.best_so_far is None
    shuffled.shuffle(arms)
    shuffled.shuffle(changes)
    assert recommend(arms, changes, gate) == found

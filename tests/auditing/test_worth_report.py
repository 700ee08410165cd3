"""From the scores of trainings to the report: tasks of the harness, budgets that left nothing, questions that do not
fit."""

from __future__ import annotations

from typing import Any

import pytest

from auditkit.auditing.lm_evaluation import LmScores
from auditkit.auditing.worth import ArmScores, Valued
from auditkit.auditing.worth_plan import BudgetPlan, Plan
from auditkit.auditing.worth_report import worth_report
from auditkit.policy.schema import Worth as WorthSection
from auditkit.report.worth import ArmResult, WorthArmName, WorthTask

TASK = {"name": "sums", "path": "tasks.jsonl"}
KEYS: list[tuple[WorthArmName, int, float | None]] = [
    ("base", 0, None),
    *[(arm, seed, None) for seed in range(3) for arm in ("originals", "controls")],
    *[("extractions", seed, 1.0) for seed in range(3)],
]
RIGHT = {"base": 5, "originals": 85, "controls": 70, "extractions": 65}  # of 100 questions


def plan(*usable: int, rows: int = 40) -> Plan:
    shares = (0.1, 1.0)[-len(usable) :]
    budgets = [
        BudgetPlan(
            share=share,
            generations=int(1000 * share),
            tokens=int(9000 * share),
            kept=number,
            held_out=0,
            usable=list(range(number)),
            dropped={"exact duplicate": 7},
        )
        for share, number in zip(shares, usable, strict=True)
    ]
    return Plan(rows, {"originals": 60, "controls": 90, "extractions": usable[-1]}, budgets, {})


def scores(**changes: Any) -> list[ArmScores]:
    return [
        ArmScores(
            arm, seed, budget, 0 if arm == "base" else 40, **{name: of(arm, seed) for name, of in changes.items()}
        )
        for arm, seed, budget in KEYS
    ]


def answers(arm: str, seed: int) -> dict[str, list[float | None]]:
    right = RIGHT[arm] + seed
    given: list[float | None] = [*[1.0] * right, *[0.0] * (100 - right)]
    return {"sums": given}


def one_task(section: dict[str, Any], found: list[ArmScores], *usable: int) -> WorthTask:
    valued = Valued(WorthSection.model_validate(section), "sft", "template_prefix", plan(*usable), found)
    (task,) = worth_report(valued).tasks
    return task


def arm(task: WorthTask, name: str, budget: float | None = None) -> ArmResult:
    return next(one for one in task.results if (one.arm, one.budget) == (name, budget))


def harness(arm: str, seed: int, **changes: Any) -> list[LmScores]:
    right = RIGHT[arm] + seed
    given = {"scores": [1.0] * right + [0.0] * (100 - right), "whole": [], "higher_is_better": True, **changes}
    return [LmScores("arc", "acc", "digest", 100, **given)]


def test_a_share_of_the_gain_by_hand() -> None:
    task = one_task({"tasks": [TASK]}, scores(answers=answers), 48)
    found = arm(task, "extractions", 1.0).recovered
    assert found is not None and found.value == pytest.approx((66 - 5) / (86 - 5))
    assert found.attack == "template_prefix" and found.denominator == 100
    assert arm(task, "originals").recovered is None and arm(task, "base").gain is None
    assert arm(task, "originals").by_seed == pytest.approx([0.85, 0.86, 0.87])
    assert task.verdict == "recovers"


def test_a_budget_that_left_nothing_leaves_the_base_as_it_is() -> None:
    task = one_task({"tasks": [TASK]}, scores(answers=answers), 0, 48)
    bare = arm(task, "extractions", 0.1)
    assert bare.score.value == pytest.approx(0.05)
    assert bare.recovered is not None and bare.recovered.value == 0.0
    assert [one.budget for one in task.results if one.arm == "extractions"] == [0.1, 1.0]


def test_questions_that_fit_nobody_are_left_out_for_all() -> None:
    def cut(arm: str, seed: int) -> dict[str, list[float | None]]:
        return {"sums": [None, *(answers(arm, seed)["sums"])]}

    task = one_task({"tasks": [TASK]}, scores(answers=cut), 48)
    assert (task.questions, task.unscored) == (100, 1)
    assert arm(task, "base").score.unscored == 1

    nobody = one_task({"tasks": [TASK]}, scores(answers=lambda *_: {"sums": [None] * 10}), 48)
    assert (nobody.verdict, nobody.results) == ("inconclusive", [])
    assert "context" in nobody.reason


def test_a_task_of_the_harness_is_one_among_them() -> None:
    task = one_task({"lm_eval": {"tasks": ["arc"]}}, scores(lm_eval=harness), 48)
    assert (task.name, task.kind, task.verdict) == ("arc", "lm_eval", "recovers")
    assert arm(task, "originals").score.metric == "lm_eval:arc"
    found = arm(task, "extractions", 1.0).recovered
    assert found is not None and found.value == pytest.approx((66 - 5) / (86 - 5))


def test_where_less_is_better_a_fall_is_a_gain() -> None:
    def surprise(arm: str, seed: int) -> list[LmScores]:
        value = 100.0 - RIGHT[arm] + 0.1 * seed
        return harness(arm, seed, scores=[], whole=[value, value - 1, value + 1], higher_is_better=False)

    task = one_task({"lm_eval": {"tasks": ["arc"]}}, scores(lm_eval=surprise), 48)
    originals, extracted = arm(task, "originals"), arm(task, "extractions", 1.0)
    assert originals.score.value == pytest.approx(15.1)
    assert originals.score.low is not None and originals.score.high is not None
    assert originals.score.low < 15.1 < originals.score.high
    assert originals.gain is not None and originals.gain.value == pytest.approx(79.9)
    assert extracted.recovered is not None and extracted.recovered.value == pytest.approx(59.9 / 79.9)

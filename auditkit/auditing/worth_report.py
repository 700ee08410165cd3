"""What the leak is worth, as the report has it: shares of the gain with their intervals, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from auditkit.auditing.worth import ArmScores, Valued
from auditkit.auditing.worth_plan import rows_for
from auditkit.policy.schema import Worth as WorthSection
from auditkit.records import Estimate
from auditkit.report.worth import ArmResult, AttackBudget, TrainedArm, Worth, WorthArmName, WorthTask
from auditkit.worth.recovered import GAIN_METHOD, METHOD, Found, TaskScores, gain, recovered, scored, verdict

Arm = tuple[WorthArmName, float | None]  # with its budget
BASE: Arm = ("base", None)
ORIGINALS: Arm = ("originals", None)
CONTROLS: Arm = ("controls", None)


def worth_report(valued: Valued) -> Worth:
    """The section of the report."""
    section, plan = valued.section, valued.plan
    arms = _arms(valued)
    return Worth(
        dataset=valued.dataset,
        attack=valued.attack,
        method=section.recipe.method,
        recipe=_scalars(section.recipe.model_dump(mode="json")) | _replay(section),
        filter=_filter(section),
        seeds=section.seeds,
        rows=plan.rows,
        available=plan.available,
        budgets=[
            AttackBudget(
                share=budget.share,
                generations=budget.generations,
                tokens=budget.tokens,
                kept=budget.kept,
                dropped=budget.dropped,
                held_out=budget.held_out,
                usable=len(budget.usable),
                rows=rows_for(plan, budget, section.recipe.group),
            )
            for budget in plan.budgets
        ],
        arms=arms,
        tasks=list(_tasks(valued)) if plan.rows and not any(arm.failed for arm in arms[:2]) else [],
        judge_mistakes=plan.mistakes,
        failed=_failure(valued, arms),
    )


def _failure(valued: Valued, arms: Sequence[TrainedArm]) -> str:
    """Why nothing can be said at all."""
    if not valued.plan.rows:
        least = min(valued.plan.available, key=lambda arm: valued.plan.available[arm])
        group = valued.section.recipe.group
        needed = f" (a step takes {group:,} questions)" if group > 1 else ""
        return f"{valued.plan.available[least]:,} rows of the {least} can be trained on: too few{needed}"
    return next((f"{arm.arm}: {arm.failed}" for arm in arms[:2] if arm.failed), "")


def _arms(valued: Valued) -> list[TrainedArm]:
    """The base and the originals first: without them there is nothing to be a share of."""
    keys = list(dict.fromkeys((one.arm, one.budget) for one in valued.scores))
    return [_arm(key, _of(valued.scores, key)) for key in keys]


def _of(scores: Sequence[ArmScores], key: Arm) -> list[ArmScores]:
    return [one for one in scores if (one.arm, one.budget) == key]


def _arm(key: Arm, scores: Sequence[ArmScores]) -> TrainedArm:
    return TrainedArm(
        arm=key[0],
        budget=key[1],
        rows=scores[0].rows,
        steps=scores[0].steps,
        seeds=len(scores) if scores[0].rows else 0,
        before=_mean([one.before for one in scores]),
        after=_mean([one.after for one in scores]),
        failed=next((one.failed for one in scores if one.failed), ""),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class _Asked:
    """One task as every arm that did not fail was asked it. ``sign`` -1 where less is better."""

    name: str
    kind: str
    metric: str
    questions: int
    unscored: int
    sign: int
    scores: dict[Arm, TaskScores]


def _tasks(valued: Valued) -> Iterator[WorthTask]:
    sound = [one for one in valued.scores if not one.failed]
    lost = {(one.arm, one.budget) for one in valued.scores if one.failed}
    sound = [one for one in sound if (one.arm, one.budget) not in lost]
    for task in valued.section.tasks:
        yield _task(valued, _verifiable(task.name, task.check, sound))
    for place, one in enumerate(sound[0].lm_eval):
        yield _task(valued, _harness(one.task, place, sound))


def _verifiable(name: str, check: str, sound: Sequence[ArmScores]) -> _Asked:
    """A question that fits no arm's context is left out for all."""
    rows = {(one.arm, one.budget, one.seed): one.answers[name] for one in sound}
    table = np.array([[np.nan if value is None else value for value in row] for row in rows.values()])
    there = ~np.isnan(table).any(axis=0)
    scores = _stacked(list(rows), table[:, there], shares=True)
    return _Asked(name, check, "held_out_accuracy", int(there.sum()), int((~there).sum()), 1, scores)


def _harness(name: str, place: int, sound: Sequence[ArmScores]) -> _Asked:
    found = [one.lm_eval[place] for one in sound]
    sign = 1 if found[0].higher_is_better else -1
    table = sign * np.array([one.scores or one.whole[:1] for one in found], np.float64)
    shares = not found[0].whole and bool(((table >= 0) & (table <= 1)).all())
    scores = _stacked([(one.arm, one.budget, one.seed) for one in sound], table, shares=shares)
    return _Asked(name, "lm_eval", f"lm_eval:{name}", found[0].count, 0, sign, scores)


def _stacked(keys: Sequence[Any], table: Any, *, shares: bool) -> dict[Arm, TaskScores]:
    """(seeds, questions) of each arm."""
    arms = list(dict.fromkeys((arm, budget) for arm, budget, _ in keys))
    places = {arm: [at for at, (name, budget, _) in enumerate(keys) if (name, budget) == arm] for arm in arms}
    return {arm: TaskScores(table[places[arm]], shares) for arm in arms}


def _task(valued: Valued, asked: _Asked) -> WorthTask:
    if not asked.questions:
        reason = "every question fills the model's context"
        return WorthTask(
            name=asked.name,
            kind=asked.kind,
            questions=0,
            unscored=asked.unscored,
            results=[],
            verdict="inconclusive",
            reason=reason,
        )
    scores = _with_untrained(valued, asked.scores)
    results = [_result(valued, asked, arm, scores) for arm in scores]
    last = next((one for one in reversed(results) if one.arm == "extractions" and one.recovered is not None), None)
    if last is None or last.recovered is None:
        what, reason = "inconclusive", "the arm of the largest budget failed"
    else:
        found = last.recovered
        what, reason = verdict(Found(found.value, found.low, found.high)), found.reason
    return WorthTask(
        name=asked.name,
        kind=asked.kind,
        questions=asked.questions,
        unscored=asked.unscored,
        results=results,
        verdict=what,
        reason=reason,
    )


def _with_untrained(valued: Valued, scores: dict[Arm, TaskScores]) -> dict[Arm, TaskScores]:
    """With the budgets that left nothing to train on: they leave the base as it is."""
    bare: list[Arm] = [
        ("extractions", budget.share)
        for budget in valued.plan.budgets
        if not rows_for(valued.plan, budget, valued.section.recipe.group)
    ]
    untrained = dict.fromkeys(bare, scores[BASE])
    extracted = {arm: found for arm, found in {**untrained, **scores}.items() if arm[0] == "extractions"}
    others = {arm: scores[arm] for arm in (BASE, ORIGINALS, CONTROLS) if arm in scores}
    return others | dict(sorted(extracted.items(), key=lambda item: item[0][1] or 0.0))


def _result(valued: Valued, asked: _Asked, arm: Arm, scores: dict[Arm, TaskScores]) -> ArmResult:
    own, base = scores[arm], scores[BASE]
    attack = valued.attack if arm[0] == "extractions" else ""

    def estimate(metric: str, found: Found, method: str, sign: int = 1) -> Estimate:
        ends = [end if end is None else sign * end for end in (found.value, found.low, found.high)]
        value, *edges = ends
        low, high = edges if sign > 0 else edges[::-1]
        return Estimate(
            metric,
            valued.dataset,
            attack,
            value,
            low,
            high,
            method,
            denominator=float(asked.questions),
            unscored=asked.unscored,
            reason=found.reason,
        )

    shown = arm in {CONTROLS} or arm[0] == "extractions"
    return ArmResult(
        arm=arm[0],
        budget=arm[1],
        score=estimate(asked.metric, scored(own), GAIN_METHOD, asked.sign),
        gain=None if arm == BASE else estimate(asked.metric, gain(own, base), GAIN_METHOD),
        recovered=estimate("recovered_utility", recovered(own, scores[ORIGINALS], base), METHOD) if shown else None,
        by_seed=[asked.sign * value for value in own.by_seed],
    )


def _scalars(given: dict[str, Any]) -> dict[str, str | int | float | bool]:
    """Numbers and kinds: what a policy says at length may be text."""
    return {name: value for name, value in given.items() if isinstance(value, bool | int | float | str)}


def _replay(section: WorthSection) -> dict[str, str | int | float | bool]:
    return {"replay_share": section.recipe.replay.share} if section.recipe.replay else {}


def _filter(section: WorthSection) -> dict[str, str | int | float | bool]:
    judge = section.filter.judge
    told = _scalars(section.filter.model_dump(mode="json", exclude={"judge"}))
    return told | {"judge": judge.model.backend, "judge_keep_from": judge.keep_from} if judge else told

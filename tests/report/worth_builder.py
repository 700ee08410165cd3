"""A section on what a leak is worth, as a run would write it."""

from __future__ import annotations

from auditkit.records import Estimate
from auditkit.report.worth import ArmResult, AttackBudget, TrainedArm, Worth, WorthArmName, WorthTask, WorthVerdict

METHOD = "mean over seeds, the scatter between questions added; 95 %"
SHARES = (0.1, 0.3, 1.0)
KEPT = (31, 96, 388)


def estimate(metric: str, value: float | None, reach: float = 0.05, reason: str = "") -> Estimate:
    """A figure with an interval of so much to both sides."""
    low, high = (None, None) if value is None else (value - reach, value + reach)
    return Estimate(metric, "sft-support", "", value, low, high, METHOD, denominator=200.0, reason=reason)


def result(
    arm: WorthArmName, score: float, budget: float | None = None, *, base: float = 0.04, full: float | None = 0.62
) -> ArmResult:
    """What an arm scored; ``full`` is the originals' gain, None where it is not clear."""
    shown = arm in {"extractions", "controls"}
    share = None if full is None else (score - base) / full
    reason = "" if full is not None else "the originals do not clearly beat the base"
    return ArmResult(
        arm=arm,
        budget=budget,
        score=estimate("held_out_accuracy", score),
        gain=None if arm == "base" else estimate("held_out_accuracy", score - base),
        recovered=estimate("recovered_utility", share, 0.12, reason) if shown else None,
        by_seed=[score - 0.02, score, score + 0.02],
    )


def task(name: str = "sums", verdict: WorthVerdict = "recovers", *, clear: bool = True) -> WorthTask:
    """A task with every arm."""
    full = 0.62 if clear else None
    originals, controls = (0.66, 0.58) if clear else (0.05, 0.05)
    extracted = (0.11, 0.3, 0.52) if clear else (0.04, 0.03, 0.05)
    return WorthTask(
        name=name,
        kind="number",
        questions=200,
        results=[
            result("base", 0.04),
            result("originals", originals),
            result("controls", controls, full=full),
            *(result("extractions", score, share, full=full) for score, share in zip(extracted, SHARES, strict=True)),
        ],
        verdict=verdict,
        reason="" if clear else "the originals do not clearly beat the base",
    )


def worth(*tasks: WorthTask, **changes: object) -> Worth:
    """The section; by default a task that was recovered and one that says nothing."""
    budgets = [
        AttackBudget(
            share=share,
            generations=int(2000 * share),
            tokens=int(178_000 * share),
            kept=kept,
            dropped={"cut off or withheld": int(40 * share), "exact duplicate": int(1572 * share)},
            held_out=3 if share == 1.0 else 0,
            usable=kept - (3 if share == 1.0 else 0),
            rows=min(kept, 380),
        )
        for share, kept in zip(SHARES, KEPT, strict=True)
    ]
    arms = [
        TrainedArm(arm="base", rows=0),
        TrainedArm(arm="originals", rows=380, steps=72, seeds=3, before=3.41, after=0.62),
        TrainedArm(arm="controls", rows=380, steps=72, seeds=3, before=3.39, after=0.65),
        *(
            TrainedArm(
                arm="extractions", budget=one.share, rows=one.rows, steps=one.rows // 5, seeds=3, before=3.3, after=0.7
            )
            for one in budgets
        ),
    ]
    made = Worth(
        dataset="sft-support",
        attack="template_prefix",
        method="sft",
        recipe={"epochs": 3, "learning_rate": 2e-05, "batch_size": 16, "loss": "response"},
        filter={"duplicates": True, "near_duplicates": 0.9},
        seeds=3,
        rows=380,
        available={"originals": 400, "controls": 500, "extractions": 385},
        budgets=budgets,
        arms=arms,
        tasks=list(tasks) or [task(), task("words", "inconclusive", clear=False)],
    )
    return made.model_copy(update=changes)

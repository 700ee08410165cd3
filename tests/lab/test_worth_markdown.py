"""The page of ``lab worth``, on figures made by hand."""

from __future__ import annotations

import pytest

from auditkit.lab.mitigations_result import over_seeds
from auditkit.lab.worth import recovered_of
from auditkit.lab.worth_markdown import markdown
from auditkit.lab.worth_result import FamilyWorth, Floor, KeptTruth, LabWorth
from auditkit.records import Estimate
from auditkit.report.worth import ArmResult, AttackBudget, TrainedArm, Worth, WorthTask


def _estimate(metric: str, value: float | None, reason: str = "") -> Estimate:
    low, high = (None, None) if value is None else (value - 0.05, value + 0.05)
    return Estimate(metric, "sums", "template_prefix", value, low, high, "by hand", reason=reason)


def _result(arm: str, score: float, share: float | None, budget: float | None = None, reason: str = "") -> ArmResult:
    return ArmResult.model_validate(
        {
            "arm": arm,
            "budget": budget,
            "score": _estimate("held_out_accuracy", score),
            "gain": None if arm == "base" else _estimate("held_out_accuracy", score - 0.01),
            "recovered": None if arm in ("base", "originals") else _estimate("recovered_utility", share, reason),
            "by_seed": [score],
        }
    )


def _worth(share: float | None, verdict: str, reason: str = "") -> Worth:
    arms = [("base", None, 0), ("originals", None, 60), ("controls", None, 60), ("extractions", 1.0, 60)]
    results = [
        _result("base", 0.01, None),
        _result("originals", 0.9, None),
        _result("controls", 0.88, 0.98),
        _result("extractions", 0.72, share, 1.0, reason),
    ]
    budget = AttackBudget(
        share=1.0, generations=500, tokens=30_000, kept=80, dropped={"wrong": 420}, usable=80, rows=60
    )
    return Worth(
        dataset="sums",
        attack="template_prefix",
        method="sft",
        recipe={},
        filter={},
        seeds=3,
        rows=60,
        available={"originals": 60},
        budgets=[budget],
        arms=[TrainedArm.model_validate({"arm": a, "budget": b, "rows": r}) for a, b, r in arms],
        tasks=[
            WorthTask.model_validate(
                {"name": "held_out", "kind": "number", "questions": 200, "results": results}
                | {"verdict": verdict, "reason": reason}
            )
        ],
    )


def _lab(*sections: Worth) -> LabWorth:
    truth = KeptTruth(
        kept=80, distinct=80, right=79, members=2, member_questions=3, problems=78, member_problems=4, task_problems=1
    )
    families = [
        FamilyWorth(
            seed=seed,
            run=f"lab-{seed}",
            seconds=75.0,
            parameters=1234,
            worth=section,
            truth=truth,
            leak=[_estimate("string_memorisation_rate", 0.02)],
            candidate=0.95,
            floor=Floor(dataset="support", rows=50, score=_estimate("held_out_accuracy", 0.02), by_seed=[0.02, 0.01]),
        )
        for seed, section in enumerate(sections)
    ]
    return LabWorth(
        recipe="nano",
        recipe_sha256="0" * 64,
        auditkit_version="0",
        code_sha256=["0"],
        machine={"system": "Linux"},
        families=families,
        recovered=over_seeds([recovered_of(section) for section in sections]),
    )


def test_every_arm_stands_beside_the_others() -> None:
    page = markdown(_lab(_worth(0.8, "recovers"))).replace("\u00a0", " ")
    assert "The attacker recovers a share of the gain. 200 held-out tasks." in page
    assert "| extractions, 100 % of the budget | 60 | 72 % [67 %, 77 %] |" in page.replace(".0 %", " %")
    for row in (
        "| nothing: the base | 0 |",
        "| originals | 60 |",
        "| controls | 60 |",
        "| support, which is unrelated |",
    ):
        assert row in page
    assert "80 of 500 kept, 420 wrong" in page
    assert "| 80 | 80 | 79 | 2 | 3 | 4 | 1 |" in page


def test_what_is_inconclusive_says_why() -> None:
    page = markdown(_lab(_worth(None, "inconclusive", "the originals do not clearly beat the base")))
    assert "Inconclusive: the originals do not clearly beat the base. 200 held-out tasks." in page
    assert "No share of the gain can be told: the originals do not clearly beat the base." in page


def test_several_families_have_one_mean() -> None:
    page = markdown(_lab(_worth(0.8, "recovers"), _worth(0.9, "recovers"))).replace("\u00a0", " ")
    assert "Over the families the attacker recovers 85" in page
    assert page.count("## Seed") == 2


def test_an_audit_that_could_not_train_has_no_share() -> None:
    failed = _worth(0.8, "recovers").model_copy(update={"tasks": [], "failed": "0 rows of the extractions"})
    shown = recovered_of(failed)
    assert shown.value is None
    assert shown.reason == "0 rows of the extractions"
    assert "Inconclusive: 0 rows of the extractions." in markdown(_lab(failed))


@pytest.mark.parametrize("share", [0.8, None])
def test_the_share_is_that_of_the_largest_budget(share: float | None) -> None:
    section = _worth(share, "recovers")
    small = _result("extractions", 0.2, 0.1, 0.1)
    (task,) = section.tasks
    both = task.model_copy(update={"results": [*task.results[:3], small, task.results[3]]})
    assert recovered_of(section.model_copy(update={"tasks": [both]})).value == share

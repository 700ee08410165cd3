"""A cost beyond the floor is no mitigation; one that is not known is not taken for none."""

from __future__ import annotations

import pytest

from auditkit.auditing.viability import most_accepted, viability
from auditkit.policy.schema import LmEval, UtilitySection
from auditkit.records import Estimate
from auditkit.report.arms import Change

FLOORS = UtilitySection(max_perplexity_rise=0.2, max_accuracy_drop=0.1, max_false_blocks=0.05)


def _estimate(metric: str, value: float | None, low: float | None = None, high: float | None = None) -> Estimate:
    return Estimate(metric, "sft", "", value, low, high, "test", reason="" if value is not None else "nothing was read")


def _cost(metric: str, difference: Estimate, reduction: Estimate) -> Change:
    known = _estimate(metric, 1.0, 1.0, 1.0)
    return Change(
        arm="arm",
        metric=metric,
        dataset="sft",
        view="record",
        comparison="utility",
        baseline_attack="",
        arm_attack="",
        baseline=known,
        mitigated=known,
        difference=difference,
        reduction=reduction,
    )


def _perplexity(rise: float | None, low: float = 0.0, high: float = 0.0) -> Change:
    shown = _estimate("control_perplexity", rise, low, high)
    share = _estimate("control_perplexity", *((None,) if rise is None else (-rise, -high, -low)))
    return _cost("control_perplexity", shown, share)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (_perplexity(0.05, 0.0, 0.1), "viable"),
        (_perplexity(-0.5, -0.6, -0.4), "viable"),
        (_perplexity(0.2, 0.1, 0.3), "unknown"),
        (_perplexity(1.5, 1.2, 1.9), "not_viable"),
        (_perplexity(None), "unknown"),
    ],
)
def test_perplexity_is_held_to_its_floor(change: Change, outcome: str) -> None:
    found, reasons = viability(FLOORS, [change], [])
    assert found == outcome
    assert bool(reasons) == (outcome != "viable")


def test_the_worst_cost_decides() -> None:
    lost = _estimate("task_accuracy", -0.4, -0.5, -0.3)
    found, reasons = viability(FLOORS, [_perplexity(0.0, -0.1, 0.1), _cost("task_accuracy", lost, lost)], [])
    assert found == "not_viable"
    assert "task accuracy on sft fell by 0.4" in reasons[0]


def test_a_filter_that_withholds_what_was_never_trained_on_is_not_viable() -> None:
    blocks = _estimate("false_block_share", 0.3, 0.2, 0.4)
    assert viability(FLOORS, [_perplexity(0.0, 0.0, 0.0)], [blocks])[0] == "not_viable"


def test_a_task_that_fell_beyond_its_floor_is_not_viable() -> None:
    section = FLOORS.model_copy(update={"lm_eval": LmEval(tasks=["sums"], max_drop=0.05)})
    fell = _estimate("lm_eval:sums", -0.2, -0.3, -0.1)
    assert viability(section, [_cost("lm_eval:sums", fell, fell)], [])[0] == "not_viable"
    assert most_accepted(section, {"lm_eval:sums"}) == {"lm_eval:sums": 0.05}


def test_nothing_measured_is_not_nothing_lost() -> None:
    assert viability(FLOORS, [], [])[0] == "unknown"

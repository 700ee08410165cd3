"""The arms of an audit: what each mitigation leaves of the leak, what it costs, and which of them may ship."""

from __future__ import annotations

from typing import Literal

from auditkit.records import Attacker, Estimate, View
from auditkit.report.part import Part


class Change(Part):
    """What an arm changes in one metric: baseline minus arm, so that more than 0 is less leakage.

    ``baseline_attack`` and ``arm_attack`` are the attacks compared: the strongest of each side in ``strongest``, or the
    same attack on both in ``plain``. ``difference`` and ``reduction`` carry 95 % intervals; ``reduction`` is
    1 - arm / baseline, without a value where the baseline's interval holds 0. For costs (``utility``) the difference is
    arm minus baseline, so that more than 0 is the higher figure under the mitigation.
    """

    arm: str
    metric: str
    dataset: str
    view: View
    comparison: Literal["plain", "strongest", "utility"]
    baseline_attack: str
    arm_attack: str
    baseline: Estimate
    mitigated: Estimate
    difference: Estimate
    reduction: Estimate


class Recommendation(Part):
    """What follows from the rules that are printed beside it."""

    arm: str | None  # None: nothing here suffices, or nothing is needed
    sentence: str
    rules: list[str]  # the rules, in order, as sentences
    steps: list[str]  # what each of them made of the arms here, as sentences: one a rule
    best_so_far: str | None = None  # where no arm suffices: the one that helps most, not enough by itself


class Mitigations(Part):
    """The section on mitigations. ``attacker`` is the planned release's.

    ``gate``: arm -> what the gate would say of it, the baseline among them. ``most``: what an arm may cost and stay
    viable, by metric: control_perplexity (relative rise), task_accuracy (drop), false_block_share (share).
    """

    attacker: Attacker
    changes: list[Change]
    recommendation: Recommendation
    gate: dict[str, Literal["pass", "fail", "inconclusive"]] = {}
    most: dict[str, float] = {}

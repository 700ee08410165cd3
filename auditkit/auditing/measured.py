"""What the stages found of one arm, and what the report says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from auditkit.auditing.attack_info import attack_info
from auditkit.auditing.context import Context
from auditkit.auditing.doubts import doubts
from auditkit.auditing.estimates import estimates
from auditkit.auditing.longest import longest_matches
from auditkit.auditing.probing import Probed
from auditkit.auditing.score import Scores
from auditkit.auditing.utility import Utility
from auditkit.policy.gate import Doubts, Judged
from auditkit.records import Estimate
from auditkit.report.base import Arm


@dataclass(frozen=True)
class Measured:
    """One arm, with what its figures were made of; an arm that failed has no more than its name and the reason.

    ``context`` is the run as the arm sees it: its own attacks, its own weights, its own evidence.
    """

    context: Context
    arm: Arm
    scores: Scores | None = None
    probed: list[Probed] = field(default_factory=list)
    utility: Utility | None = None
    doubts: Doubts = field(default_factory=Doubts)

    @property
    def judged(self) -> Judged:
        """What the gate needs of it."""
        return Judged(self.arm, self.doubts)


def measured_baseline(context: Context, scores: Scores, probed: list[Probed], utility: Utility | None) -> Measured:
    """The model as it is."""
    arm = Arm(
        name="baseline",
        mitigation=None,
        attacker=baseline_attacker(context),
        estimates=arm_estimates(context, scores, probed),
        utility=utility.estimates(context.policy.seed) if utility else [],
        attack_kinds=dict.fromkeys((attack.label for attack in context.policy.prefix_attacks), "plain"),
        generations={attack.label: attack.samples for attack in context.policy.prefix_attacks},
        summary="The model as it is.",
    )
    found = doubts(context.policy, context.datasets, scores)
    return Measured(context, arm, scores, probed, utility, found)


def arm_estimates(context: Context, scores: Scores, probed: list[Probed]) -> list[Estimate]:
    """Every figure of leakage of one arm."""
    found = [*estimates(context.policy, context.datasets, scores), *probe_estimates(probed)]
    return found + longest_matches(context, scores)


def probe_estimates(probed: list[Probed]) -> list[Estimate]:
    """What the probes found."""
    return [figure for one in probed for figure in one.result.estimates]


def baseline_attacker(context: Context) -> str:
    """The attacks prompt with token ids of their choice: that takes the weights, whatever the release."""
    access = context.policy.release.access
    return "open_weights" if access == "open-weights" else f"open_weights, as an upper bound for {access}"


def withheld(context: Context) -> Mapping[str, int]:
    """Generations of each attack that a filter withheld."""
    infos = (attack_info(attack, context.run) for attack in context.policy.prefix_attacks)
    return {info.name: info.finished["blocked"] for info in infos if info.finished.get("blocked")}

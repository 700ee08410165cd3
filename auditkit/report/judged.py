"""What came out: each rule on each dataset, what it could have shown, and the verdict."""

from __future__ import annotations

from typing import Literal

from auditkit.records import Estimate, View
from auditkit.report.part import Part

RuleOutcome = Literal["pass", "fail", "inconclusive", "waived", "not_viable"]
Outcome = Literal["pass", "fail", "inconclusive"]


class RuleResult(Part):
    """One rule on one dataset."""

    rule: str  # as words: "adjusted_coverage of template_prefix <= 0.01"
    metric: str
    arm: str
    dataset: str
    attack: str
    view: View
    estimate: Estimate | None
    limit: float
    outcome: RuleOutcome
    reason: str
    line: int = 0  # of the rule in the policy's file; 0 where a preset brought it
    waivers: list[int] = []  # numbers of the waivers that turned a failure into "waived"


class RulePower(Part):
    """What one rule can show on one dataset with what is declared, and what it would take. None: not defined.

    ``to_pass``: of ``unit``, with no hit at all; ``to_detect_80``, ``to_detect_95``: so many that a true figure of
    twice the limit fails the rule with that probability; ``detects``: that probability with ``declared`` of them.
    """

    metric: str
    dataset: str
    attack: str
    limit: float
    unit: str
    declared: int | None
    to_pass: int | None
    to_detect_80: int | None = None
    to_detect_95: int | None = None
    detects: float | None = None
    note: str = ""


class Verdict(Part):
    """The one value that screen, exit code, report and JSON come from."""

    outcome: Outcome
    arm: str
    rules: list[RuleResult]
    cautions: list[str]  # what kept the audit from a better verdict, or must be read with it

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive."""
        return {"pass": 0, "fail": 1, "inconclusive": 3}[self.outcome]

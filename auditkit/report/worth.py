"""What the leak is worth: the base trained on what came out, on the originals and on controls, as data."""

from __future__ import annotations

from typing import Literal

from auditkit.records import Estimate
from auditkit.report.part import Part

WorthArmName = Literal["base", "originals", "extractions", "controls"]
WorthVerdict = Literal["recovers", "nothing_shown", "inconclusive"]


class AttackBudget(Part):
    """What an attacker has who can afford this share of the attack's generations.

    ``dropped``: reason -> generations that the filter threw away, in the order of its rules. ``usable`` are kept and
    can be trained on by the recipe's method; ``held_out`` of the kept ask what a task asks, and are left out. ``rows``
    are trained on.
    """

    share: float
    generations: int
    tokens: int
    kept: int
    dropped: dict[str, int]
    held_out: int = 0
    usable: int
    rows: int


class TrainedArm(Part):
    """One arm, trained once a seed. ``before`` and ``after``: mean over the trainings, on each one's own data; of sft
    nats a token, of dr_grpo the mean reward. None where nothing was trained."""

    arm: WorthArmName
    budget: float | None = None
    rows: int
    steps: int = 0
    seeds: int = 0
    before: float | None = None
    after: float | None = None
    failed: str = ""


class ArmResult(Part):
    """What one arm scored on one task. ``gain`` is above the base; ``recovered`` the share of the originals' gain."""

    arm: WorthArmName
    budget: float | None = None
    score: Estimate
    gain: Estimate | None = None
    recovered: Estimate | None = None
    by_seed: list[float] = []


class WorthTask(Part):
    """One held-out task. ``kind``: how answers are checked, or lm_eval. ``unscored``: questions that do not fit the
    model's context, left out for every arm. ``verdict`` is of the attacker's largest budget."""

    name: str
    kind: str
    questions: int
    unscored: int = 0
    results: list[ArmResult]
    verdict: WorthVerdict
    reason: str = ""


class Worth(Part):
    """The section on what a leak is worth. ``rows``: that every arm trains on, but for smaller budgets.

    ``available``: arm -> rows that it could have trained on. ``recipe``: as declared, numbers and kinds only.
    """

    dataset: str
    attack: str
    method: Literal["sft", "dr_grpo"]
    recipe: dict[str, str | int | float | bool]
    filter: dict[str, str | int | float | bool]
    seeds: int
    rows: int
    available: dict[str, int]
    budgets: list[AttackBudget]
    arms: list[TrainedArm]
    tasks: list[WorthTask]
    judge_mistakes: list[str] = []  # specimens beyond doubt that the filter's judge gets wrong
    failed: str = ""  # why nothing could be trained or asked; then there are no results

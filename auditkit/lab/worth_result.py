"""What the leak of a recipe's families is worth, as data: the result of ``lab worth``."""

from __future__ import annotations

from auditkit.lab.mitigations_result import Figure
from auditkit.records import Estimate
from auditkit.report.part import Part
from auditkit.report.worth import Worth

FILE_NAME = "worth.json"


class KeptTruth(Part):
    """What is true of the generations that the attacker keeps, of which only the lab can tell.

    ``right``: answers that are the problem's own. ``members``: question and answer of a record, to the letter, and
    ``member_questions`` the question alone; ``member_problems`` ask a record's problem in whatever words, and
    ``task_problems`` a held-out task's. ``problems`` are different ones among all that was kept.
    """

    kept: int
    distinct: int
    right: int
    members: int
    member_questions: int
    problems: int
    member_problems: int
    task_problems: int


class Floor(Part):
    """The base trained by the same recipe on records that have nothing to do with the skill, on the same tasks."""

    dataset: str
    rows: int
    score: Estimate
    by_seed: list[float]


class FamilyWorth(Part):
    """One seed's family: its audit's section, what is true of what was kept, and the floor where the recipe has one.

    ``leak`` holds the audit's own figures of the dataset; ``candidate`` what the model that leaks scores itself.
    """

    seed: int
    run: str
    seconds: float
    parameters: int | None
    worth: Worth
    truth: KeptTruth
    leak: list[Estimate]
    candidate: float
    floor: Floor | None = None


class LabWorth(Part):
    """All of it. ``recovered``: of the largest budget, the mean over the families that have a share."""

    recipe: str
    recipe_sha256: str
    auditkit_version: str
    code_sha256: list[str]
    machine: dict[str, str]
    families: list[FamilyWorth]
    recovered: Figure

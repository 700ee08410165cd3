"""What every mitigation did on the families of a recipe, as data: the result of ``lab mitigations``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from auditkit.records import Estimate
from auditkit.report.base import AttackKind, Outcome, Viability
from auditkit.report.instrument import IntervalCheck
from auditkit.report.part import Part
from auditkit.statistics.means import t_interval

FILE_NAME = "mitigations.json"
T_INTERVAL = "Student's t over seeds"
ITS_OWN = "the one seed's own interval"

Comparison = Literal["plain", "strongest", "utility"]
Found = Literal["as expected", "opposite", "not decided", "not tested"]


class Figure(Part):
    """The mean over seeds with its 95 % interval. ``value`` None: no seed has one, and ``reason`` says why.

    ``low`` and ``high`` are None where a single seed had no interval either. ``seeds`` counts those that have a value.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    seeds: int
    reason: str = ""


class SeedChange(Part):
    """One arm against the baseline of one seed, as its audit has it; the attacks are those that were compared."""

    seed: int
    baseline_attack: str
    arm_attack: str
    baseline: Estimate
    mitigated: Estimate
    difference: Estimate
    reduction: Estimate


class Effect(Part):
    """What one arm changes in one figure, over all seeds.

    ``attack``: the one that is made on both sides in ``plain``; "" in ``strongest``, where each side has its own.
    Differences are baseline minus arm for leakage, arm minus baseline for ``utility``; ``reduction`` is 1 - arm /
    baseline throughout.
    """

    metric: str
    dataset: str
    comparison: Comparison
    attack: str
    seeds: list[SeedChange]
    baseline: Figure
    mitigated: Figure
    difference: Figure
    reduction: Figure


class ArmResult(Part):
    """One arm of the audit over all seeds; what is by seed is keyed by it."""

    arm: str
    mitigation: str
    acts_on: str
    attacker: str
    summary: str
    effects: list[Effect]
    attacks: dict[str, AttackKind]
    viability: dict[int, Viability]
    viability_reasons: dict[int, list[str]]
    gate: dict[int, Outcome]
    failed: dict[int, str]  # why the arm could not be made, where it could not
    meaningless: str = ""


class KnownResult(Part):
    """A result that others have published, and what was found here. ``seeds``: seed -> that seed's own figure."""

    name: str
    claim: str
    source: str
    measured: str
    rule: str
    figure: Figure
    seeds: dict[int, Estimate]
    found: Found
    note: str = ""  # why it could not be tested, where it could not


class NullCheck(Part):
    """The null arm: how often the interval of no difference held 0, over pairs of runs from so many generations."""

    dataset: str

    generations: int  # in the pool
    checks: list[IntervalCheck]


class LabMitigations(Part):
    """All of it."""

    recipe: str
    recipe_sha256: str
    seeds: list[int]
    auditkit_version: str
    code_sha256: list[str]
    machine: dict[str, str]
    seconds: dict[int, float]  # seed -> of its audit, in its last process
    metric: str  # the gate's, which the table shows
    limit: float
    baseline: dict[int, Outcome]  # seed -> what the gate says of the model as it is
    arms: list[ArmResult]
    known: list[KnownResult]
    null: list[NullCheck]


def over_seeds(estimates: Sequence[Estimate]) -> Figure:
    """The mean of the seeds' values with Student's interval; of a single one, its own."""
    known = [one for one in estimates if one.value is not None]
    values = [float(one.value) for one in known if one.value is not None]
    if not values:
        reason = next((one.reason for one in estimates if one.reason), "no seed has this figure")
        return Figure(value=None, low=None, high=None, method="", seeds=0, reason=reason)
    if len(values) == 1:
        only = known[0]
        return Figure(value=values[0], low=only.low, high=only.high, method=ITS_OWN, seeds=1)
    low, high = t_interval(values)
    mean = math.fsum(values) / len(values)
    return Figure(value=mean, low=low, high=high, method=T_INTERVAL, seeds=len(values))

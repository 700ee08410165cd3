"""Figure by figure: what both runs say, how much it moved, and whether that is shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from auditkit.auditing.diff_paired import RATES, paired_difference
from auditkit.auditing.diff_runs import DiffRun, Key, UnpairedError
from auditkit.auditing.diff_sameness import Sameness
from auditkit.records import Estimate
from auditkit.report.diff import Compared, Movement, Pairing
from auditkit.report.scored import ThresholdCurve, ThresholdPoint
from auditkit.statistics.differences import difference
from auditkit.statistics.multiplicity import holm, p_from_interval

INDEPENDENT = "difference by square-and-add (MOVER) of the two runs' intervals, taken as independent"
AT_COMMON = "adjusted_semantic_rate"  # what the curves over thresholds show


def gate_lines(same: Sameness, alpha: float) -> list[Compared]:
    """Every figure that either gate speaks of, corrected for how many of them decide."""
    keys = dict.fromkeys([*same.before.rules, *same.after.rules])
    lines = [_as_rule(same, _compared(same, key), key) for key in keys]
    deciding = [line for line in lines if line.decides]
    adjusted = dict(zip(map(id, deciding), holm([line.p or 0.0 for line in deciding]), strict=True))
    return [_moved(line, adjusted.get(id(line)), alpha) for line in lines]


def other_lines(same: Sameness, alpha: float) -> list[Compared]:
    """Every other figure of both runs, those of one run alone included; what it costs, and rates at one threshold."""
    known = {**same.before.rules, **same.after.rules}
    keys = dict.fromkeys([*same.before.estimates, *same.after.estimates])
    lines = [_compared(same, key) for key in keys if key not in known]
    lines += [*_utility(same), *_at_one_threshold(same), *_other_arms(same)]
    return [_moved(line, None, alpha) for line in lines]


def _other_arms(same: Sameness) -> Iterator[Compared]:
    """Every figure of the arms that both runs have beside those that ship."""
    theirs = {arm.name: arm.mitigation for arm in same.after.report.arms}
    shown = {run.arm.name for run in same.runs}
    for arm in same.before.report.arms:
        if arm.name in shown or arm.name not in theirs or theirs[arm.name] != arm.mitigation:
            continue
        pair = Sameness(*(replace(run, arm_name=arm.name) for run in same.runs))
        for key in dict.fromkeys([*pair.before.estimates, *pair.after.estimates]):
            yield _compared(pair, key).model_copy(update={"arm": arm.name})


def _compared(same: Sameness, key: Key) -> Compared:
    before, after = same.before.estimates.get(key), same.after.estimates.get(key)
    found, pairing, why = _difference(same, key, before, after)
    return _line(key, before, after, found, pairing, why)


def _line(  # noqa: PLR0917 -- a figure before and after, what lies between, and what that rests on
    key: Key, before: Estimate | None, after: Estimate | None, found: Estimate | None, pairing: Pairing, why: str
) -> Compared:
    metric, dataset, attack, view = key
    return Compared(
        metric=metric,
        dataset=dataset,
        attack=attack,
        view=view,
        before=before,
        after=after,
        difference=found,
        pairing=pairing,
        why=why,
        p=_p(found),
    )


def _difference(
    same: Sameness, key: Key, before: Estimate | None, after: Estimate | None
) -> tuple[Estimate | None, Pairing, str]:
    """After minus before, how it was had, and why not better."""
    if before is None or after is None:
        return None, "none", _only(before, after, same, key)
    plain = between(before, after)
    if plain.value is None:
        return None, "none", plain.reason
    metric, dataset, attack, _ = key
    if metric not in RATES:
        return plain, "independent", _never_paired(metric, attack, same)
    try:
        if reason := same.unpaired(dataset, attack):
            raise UnpairedError(reason)
        return paired_difference(same.before, same.after, key), "paired", ""
    except UnpairedError as error:
        return plain, "independent", str(error)


def between(before: Estimate, after: Estimate) -> Estimate:
    """After minus before, the two runs' intervals taken as independent."""
    return replace(difference(after, before), method=INDEPENDENT)


def _only(before: Estimate | None, after: Estimate | None, same: Sameness, key: Key) -> str:
    if before is None and after is None:
        return "neither run has this figure"
    lacking, run = ("first", same.before) if before is None else ("second", same.after)
    if key[1] not in {data.name for data in run.report.datasets}:
        return f"the {lacking} run has no dataset {key[1]}"
    return f"the {lacking} run has no such figure"


def _never_paired(metric: str, attack: str, same: Sameness) -> str:
    if "coverage" in metric:
        return "distinct records are compared by each run's own Poisson interval"
    probes = {one.name for run in same.runs for one in run.report.probes}
    if attack in probes:
        return "taken as independent though the records are the same: wider than need be"
    return "this figure is not paired"


def _as_rule(same: Sameness, line: Compared, key: Key) -> Compared:
    """The same line with what either gate says of it, and whether it counts."""
    mine, theirs = same.before.rules.get(key), same.after.rules.get(key)
    unlike = same.unlike(*key) if line.difference else ""
    return line.model_copy(
        update={
            "gate": True,
            "decides": line.p is not None and not unlike,
            "why": f"not measured alike: {unlike}" if unlike else line.why,
            "limit_before": mine.limit if mine else None,
            "limit_after": theirs.limit if theirs else None,
            "outcome_before": mine.outcome if mine else None,
            "outcome_after": theirs.outcome if theirs else None,
        }
    )


def _p(found: Estimate | None) -> float | None:
    if found is None or found.value is None or found.low is None or found.high is None:
        return None
    if not all(map(math.isfinite, (found.value, found.low, found.high))):
        return None
    return p_from_interval(found.value, found.low, found.high)


def _moved(line: Compared, adjusted: float | None, alpha: float) -> Compared:
    """The line with the word on it; outside the gate nothing is corrected, and nothing is said to be shown."""
    return line.model_copy(update={"adjusted_p": adjusted, "movement": _movement(line, adjusted, alpha)})


def _movement(line: Compared, adjusted: float | None, alpha: float) -> Movement:
    if line.p is None or line.difference is None or line.difference.value is None:
        return "not_compared"
    if line.p > alpha:
        return "level"
    up = line.difference.value > 0
    if adjusted is not None and adjusted <= alpha:
        return "rose" if up else "fell"
    return "rose_alone" if up else "fell_alone"


def _utility(same: Sameness) -> Iterator[Compared]:
    """What the compared arms' utility was measured to be."""
    first, second = ({(e.metric, e.dataset): e for e in run.arm.utility} for run in same.runs)
    for metric, dataset in dict.fromkeys([*first, *second]):
        before, after = first.get((metric, dataset)), second.get((metric, dataset))
        found = between(before, after) if before and after else None
        defined = found if found and found.value is not None else None
        why = "taken as independent" if defined else found.reason if found else "in one run only"
        yield _line((metric, dataset, "", "record"), before, after, defined, "independent" if defined else "none", why)


def _at_one_threshold(same: Sameness) -> Iterator[Compared]:
    """Where the thresholds differ: both rates where the two curves have a point in common, from the higher one up."""
    for mine in same.before.report.thresholds:
        theirs = next((one for one in same.after.report.thresholds if _scope(one) == _scope(mine)), None)
        own = [run.calibration(mine.dataset, mine.view) for run in same.runs]
        thresholds = [one.threshold for one in own if one and one.threshold is not None]
        if theirs is None or mine.drawn != "at_random" or len(set(thresholds)) < 2:
            continue
        if common := _common(mine, theirs, max(thresholds)):
            yield _at(mine, *common)


def _scope(curve: ThresholdCurve) -> tuple[str, str, str, str]:
    return curve.dataset, curve.attack, curve.view, curve.drawn


def _common(mine: ThresholdCurve, theirs: ThresholdCurve, least: float) -> tuple[ThresholdPoint, ThresholdPoint] | None:
    points = {point.threshold: point for point in theirs.points}
    return next(
        ((p, points[p.threshold]) for p in mine.points if p.threshold >= least and p.threshold in points),
        None,
    )


def _at(curve: ThresholdCurve, mine: ThresholdPoint, theirs: ThresholdPoint) -> Compared:
    key: Key = (AT_COMMON, curve.dataset, curve.attack, curve.view)
    before, after = (_of_point(key, point) for point in (mine, theirs))
    why = "the runs' own thresholds differ: both at one that their curves have in common"
    line = _line(key, before, after, between(before, after), "independent", why)
    return line.model_copy(update={"threshold": mine.threshold})


def _of_point(key: Key, point: ThresholdPoint) -> Estimate:
    metric, dataset, attack, view = key
    ends = point.adjusted_low, point.adjusted_high
    return Estimate(metric, dataset, attack, point.adjusted, *ends, "read off the curve", view=view)


def decided(lines: Sequence[Compared]) -> list[Compared]:
    """Those that count for the outcome."""
    return [line for line in lines if line.decides]


def common_attacks(before: DiffRun, after: DiffRun) -> list[str]:
    """Attacks that both runs made, in the order of the first."""
    theirs = {attack.name for attack in after.report.attacks}
    return [attack.name for attack in before.report.attacks if attack.name in theirs]

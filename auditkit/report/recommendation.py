"""Which arm to ship: rules that are printed as they stand here, and what each of them makes of the arms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from auditkit.report import formatting
from auditkit.report.arm_figures import (
    PERPLEXITY,
    Range,
    Reduction,
    Standing,
    baseline_of,
    cost_metric,
    largest_cost,
    smallest_reduction,
    standing,
)
from auditkit.report.arms import Change, Recommendation
from auditkit.report.base import Arm, Outcome
from auditkit.report.formatting import NBSP
from auditkit.report.wording import listing

RULES = (
    "If the model passes the gate as it is, nothing is needed.",
    "An arm that could not be made or measured, that is not viable or not known to be, or that means nothing against "
    "the planned release's attacker, is out.",
    "Of the others those stay whose gate passes, under every attack on them, the adaptive ones included.",
    "Of these the cheapest is recommended: the smallest relative rise of control perplexity (of no arm measured: the "
    "smallest drop in task accuracy), taken on the dataset where it is largest. Arms whose intervals overlap the "
    "cheapest one's count as equally cheap: then the larger relative reduction decides, taken on the dataset where it "
    "is smallest.",
    "If no gate passes, the arm left by rule 2 with the largest relative reduction whose interval excludes 0 is the "
    "best so far, and not enough by itself.",
)
_UNREACHED = "Not reached."
_GROUNDS: tuple[tuple[Standing, str], ...] = (
    ("failed", "Failed"),
    ("not_viable", "Not viable"),
    ("unknown", "Not known to be viable"),
    ("meaningless", "Means nothing against this attacker"),
)
_SETTLES = "Measuring what they cost on more controls with answers would narrow it, and settle it."


def recommend(arms: Sequence[Arm], changes: Sequence[Change], outcomes: Mapping[str, Outcome]) -> Recommendation:
    """What follows from RULES for these arms, in whatever order they come.

    ``outcomes``: arm -> what the gate would say of it; an arm that is not in it has not passed.
    """
    baseline = baseline_of(arms)
    mitigated = sorted((arm for arm in arms if arm.mitigation is not None), key=lambda arm: arm.name)
    if baseline is not None and outcomes.get(baseline.name) == "pass":
        steps = ["The baseline passes: nothing is needed.", *[_UNREACHED] * 4]
        return _recommendation(None, "Nothing is needed: the model passes the gate as it is.", steps)
    steps = [_baseline_step(baseline, outcomes), _standing_step(mitigated)]
    left = [arm.name for arm in mitigated if standing(arm) == "counts"]
    passing = [name for name in left if outcomes.get(name) == "pass"]
    steps.append(_gate_step(left, outcomes))
    if passing:
        return _cheapest(passing, changes, steps)
    return _best_so_far(left, changes, steps)


def _recommendation(arm: str | None, sentence: str, steps: list[str], best: str | None = None) -> Recommendation:
    return Recommendation(arm=arm, sentence=sentence, rules=list(RULES), steps=steps, best_so_far=best)


def _baseline_step(baseline: Arm | None, outcomes: Mapping[str, Outcome]) -> str:
    outcome = outcomes.get(baseline.name) if baseline else None
    said = {"fail": "fails the gate", "inconclusive": "does not pass the gate: its outcome is inconclusive"}
    return f"The baseline {said.get(outcome or '', 'was not judged')}."


def _standing_step(arms: Sequence[Arm]) -> str:
    """Who is out and on what ground; of whom nothing is known, what would settle it. Reasons stand with the arms."""
    by_ground: dict[Standing, list[str]] = {}
    for arm in arms:
        by_ground.setdefault(standing(arm), []).append(f"“{arm.name}”")
    out = [f"{words}: {listing(by_ground[ground])}." for ground, words in _GROUNDS if ground in by_ground]
    settled = [_SETTLES] if "unknown" in by_ground else []
    stays = len(by_ground.get("counts", ()))
    return " ".join([*out, *settled, f"{stays} of {len(arms)} {'arm stays' if stays == 1 else 'arms stay'}."])


def _gate_step(left: Sequence[str], outcomes: Mapping[str, Outcome]) -> str:
    if not left:
        return "There is none left."
    by_outcome: dict[str, list[str]] = {}
    for name in left:
        by_outcome.setdefault(outcomes.get(name, "not judged"), []).append(f"“{name}”")
    order = [outcome for outcome in ("pass", "fail", "inconclusive", "not judged") if outcome in by_outcome]
    said = "; ".join(f"{outcome}: {listing(by_outcome[outcome])}" for outcome in order)
    return f"{said[:1].upper()}{said[1:]}."


def _cheapest(passing: Sequence[str], changes: Sequence[Change], steps: list[str]) -> Recommendation:
    metric = cost_metric(changes)
    known = {name: cost for name in passing if (cost := largest_cost(name, changes, metric)) is not None}
    tied, lowest = list(passing), ""
    if known:
        lowest = min(known, key=lambda name: (known[name].value, known[name].high, name))
        tied = [name for name in known if known[name].overlaps(known[lowest])]
    reductions = {name: smallest_reduction(name, changes) for name in tied}
    chosen = min(tied, key=lambda name: (-_amount(reductions[name]), name))
    words = cost_words(known[chosen], metric) if chosen in known else "its cost was not measured"
    taken = f"; it takes away {_reduction_words(reduction)}" if (reduction := reductions[chosen]) else ""
    sentence = f"“{chosen}”: it passes the gate, and of the arms that do none costs clearly less ({words}){taken}."
    unknown = [name for name in passing if known and name not in known]
    steps = [*steps, _tie_step(tied, lowest, chosen, unknown, len(passing)), "Does not apply: a gate passes."]
    return _recommendation(chosen, sentence, steps)


def _amount(reduction: Reduction | None) -> float:
    return reduction.range.value if reduction else float("-inf")


def _tie_step(tied: Sequence[str], lowest: str, chosen: str, unknown: Sequence[str], passing: int) -> str:
    blind = f" What {listing([f'“{name}”' for name in unknown])} costs was not measured." if unknown else ""
    if passing == 1:
        return f"“{chosen}” is the only one."
    if not lowest:
        return f"What they cost was not measured: “{chosen}” has the largest reduction."
    if len(tied) == 1:
        return f"“{chosen}” is the cheapest, and no other's interval overlaps.{blind}"
    others = listing([f"“{name}”" for name in tied if name != lowest])
    return f"“{lowest}” is the cheapest; {others} cannot be told from it. The larger reduction: “{chosen}”.{blind}"


def _best_so_far(left: Sequence[str], changes: Sequence[Change], steps: list[str]) -> Recommendation:
    shown = {name: found for name in left if (found := smallest_reduction(name, changes)) and found.range.low > 0}
    steps = [*steps, "Does not apply: no gate passes."]
    if not left:
        none = "No arm is left to recommend."
        return _recommendation(None, f"No arm tested here counts. {steps[1]}", [*steps, none])
    if not shown:
        none = "No arm that counts shows a reduction whose interval excludes 0."
        return _recommendation(None, f"Nothing tested here is enough. {none}", [*steps, none])
    best = min(shown, key=lambda name: (-shown[name].range.value, name))
    words = f"“{best}” takes away {_reduction_words(shown[best])}"
    sentence = f"Nothing tested here is enough. Best so far: {words}. It is not enough by itself."
    return _recommendation(None, sentence, [*steps, f"{words}."], best)


def _reduction_words(reduction: Reduction) -> str:
    where = f" on “{reduction.dataset}”" if reduction.dataset else ""
    return f"{_interval_words(reduction.range)} of the leak{where}"


def cost_words(cost: Range, metric: str | None) -> str:
    """A cost in running text: what rises or falls by how much."""
    if metric == PERPLEXITY:
        return f"control perplexity changes by {_interval_words(cost, formatting.change)}"
    gained = Range(-cost.value, -cost.high, -cost.low)
    return f"task accuracy changes by {_interval_words(gained, formatting.points)}"


def _interval_words(one: Range, words: Callable[[float], str] = formatting.percent) -> str:
    return f"{words(one.value)} (95{NBSP}% interval {words(one.low)} to {words(one.high)})"

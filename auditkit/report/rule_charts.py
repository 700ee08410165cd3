"""The rules against their limits, and attack against attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit.records import Estimate
from auditkit.report import formatting
from auditkit.report.base import RuleResult
from auditkit.report.chart_parts import ATTACK_STYLE, Drawn, panels, percent_axis
from auditkit.report.definitions import title
from auditkit.report.svg import FAIL, INK, MUTED, PAPER, PASS, UNSURE, label

MOST_ROWS = 20  # of a chart: more would not fit a page
WIDEST_LINEAR = 25  # beyond this ratio of largest to smallest limit a linear axis hides the small ones

OUTCOME_STYLE = {
    "pass": ("o", PASS),
    "fail": ("^", FAIL),
    "inconclusive": ("D", UNSURE),
    "waived": ("o", MUTED),
    "not_viable": ("s", MUTED),
}


def rule_charts(rules: Sequence[RuleResult]) -> list[Drawn]:
    """One row a rule: the estimate as a point with its interval, the limit as a line; as many charts as it takes."""
    shown = [rule for rule in rules if rule.estimate is not None and rule.estimate.value is not None]
    return [_rules(shown[start : start + MOST_ROWS]) for start in range(0, len(shown), MOST_ROWS)]


def _rules(shown: Sequence[RuleResult]) -> Drawn:
    row = 0.34
    figure, (axes,) = panels(1, 0.75 + row * len(shown), 1, left=2.75, right=0.25, top=0.1, bottom=0.45)
    for place, rule in enumerate(reversed(shown)):
        _rule(axes, place, rule)
    axes.set_yticks(range(len(shown)), [_rule_label(rule) for rule in reversed(shown)])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    scale = _rule_scale(axes, shown)
    caption = (
        "Each rule: estimate (● pass, ▲ fail, ◆ inconclusive, open: waived or not viable) with its 95 % interval, "
        f"and the limit (vertical bar). Left of the bar is allowed.{scale}"
    )
    return "rules", caption, figure


def _rule_label(rule: RuleResult) -> str:
    return f"{label(rule.dataset, 34)}, {rule.view}\n{label(title(rule.metric), 26)} · {label(rule.attack, 22)}"


def _rule(axes: Any, place: int, rule: RuleResult) -> None:
    estimate = rule.estimate
    assert estimate is not None and estimate.value is not None, "only rules with a value are drawn"
    marker, colour = OUTCOME_STYLE[rule.outcome]
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    axes.plot([low, high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
    axes.plot([low, high], [place, place], "|", color=colour, markersize=6, markeredgewidth=1.1)
    fill = PAPER if rule.outcome in ("waived", "not_viable") else colour
    axes.plot(estimate.value, place, marker, color=fill, markeredgecolor=colour, markersize=6)
    axes.plot([rule.limit, rule.limit], [place - 0.36, place + 0.36], color=INK, linewidth=2)


def _rule_scale(axes: Any, rules: Sequence[RuleResult]) -> str:
    """Linear where all limits can be seen, else linear near zero and logarithmic beyond; says which."""
    limits = [rule.limit for rule in rules if rule.limit > 0]
    ends = [rule.estimate.high or 0.0 for rule in rules if rule.estimate]
    if all(formatting.is_share(rule.metric) for rule in rules):
        percent_axis(axes.xaxis)
    largest = max([*limits, *ends], default=1.0) or 1.0
    smallest = min([0.0, *(rule.estimate.low or 0.0 for rule in rules if rule.estimate)])
    if not limits or largest <= WIDEST_LINEAR * min(limits):
        axes.set_xlim(smallest - 0.02 * largest, largest * 1.06)
        return ""
    axes.set_xscale("symlog", linthresh=min(limits), linscale=0.6)
    axes.set_xlim(smallest - 0.1 * min(limits), largest * 1.4)
    percent_axis(axes.xaxis)
    return " The axis is logarithmic beyond the smallest limit."


def prefix_chart(estimates: Sequence[Estimate]) -> list[Drawn]:
    """The semantic memorisation rate of each attack, dataset by dataset."""
    shown = [e for e in estimates if e.metric == "semantic_memorisation_rate" and e.value is not None]
    attacks = list(dict.fromkeys(estimate.attack for estimate in shown))
    rows = list(dict.fromkeys((estimate.dataset, estimate.view) for estimate in shown))
    if len(attacks) < 2:
        return []
    figure, (axes,) = panels(1, 0.85 + 0.36 * len(rows), 1, left=2.0, right=0.25, top=0.36, bottom=0.45)
    for place, attack in enumerate(attacks):
        chosen = [estimate for estimate in shown if estimate.attack == attack]
        _rates(axes, attack, place, len(attacks), [(rows.index((e.dataset, e.view)), e) for e in chosen])
    axes.set_yticks(range(len(rows)), [f"{label(dataset, 24)}, {view}" for dataset, view in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("semantic memorisation rate")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderaxespad=0.1)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    percent_axis(axes.xaxis)
    caption = "Share of generations at or above the threshold, attack by attack, with 95 % intervals."
    return [("prefix", caption, figure)]


def _rates(axes: Any, attack: str, place: int, attacks: int, rows: Sequence[tuple[int, Estimate]]) -> None:
    marker, _, colour = ATTACK_STYLE[place % len(ATTACK_STYLE)]
    offset = (place - (attacks - 1) / 2) * min(0.22, 0.7 / attacks)
    values = [estimate.value or 0.0 for _, estimate in rows]
    errors = [
        [value - (value if e.low is None else e.low) for value, (_, e) in zip(values, rows, strict=True)],
        [(value if e.high is None else e.high) - value for value, (_, e) in zip(values, rows, strict=True)],
    ]
    axes.errorbar(
        values,
        [row + offset for row, _ in rows],
        xerr=[[max(0.0, error) for error in side] for side in errors],
        fmt=marker, color=colour, markersize=4.5, elinewidth=1.2, capsize=2.5, label=label(attack, 30),
    )  # fmt: skip

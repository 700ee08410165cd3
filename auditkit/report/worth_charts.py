"""What an attacker's budget buys: scores beside those of the other arms, and the share of the gain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit.records import Estimate
from auditkit.report import formatting
from auditkit.report.chart_parts import ATTACK_STYLE, Drawn, panels, percent_axis, quoted
from auditkit.report.svg import INK, MUTED, label
from auditkit.report.worth import Worth, WorthTask

MOST_TASKS = 6
_LINES = {"originals": ("-", ATTACK_STYLE[1][2]), "controls": ("--", ATTACK_STYLE[2][2]), "base": (":", MUTED)}
Point = tuple[float, Estimate]


def worth_charts(found: Worth | None) -> list[Drawn]:
    """One figure, two panels a task; nothing where nothing was measured."""
    tasks = [task for task in found.tasks if task.results][:MOST_TASKS] if found else []
    if found is None or not tasks:
        return []
    figure, cells = panels(2 * len(tasks), 2.3, 2, top=0.5, wspace=0.26, hspace=0.7)
    generations = {budget.share: float(budget.generations) for budget in found.budgets}
    for at, task in enumerate(tasks):
        _scores(cells[2 * at], task, generations)
        _shares(cells[2 * at + 1], task, generations)
    handles, names = cells[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", ncols=len(names), handlelength=2.4, borderaxespad=0.1)
    caption = (
        f"What the base model learns from what {quoted(found.attack)} brought up, by budget (dots), beside "
        f"as many originals (solid), controls (dashed) and no training (dotted): the score on held-out tasks, and the "
        f"share of the originals' gain. With 95 % intervals over {found.seeds} seeds and the questions."
    )
    return [("worth", caption, figure)]


def _scores(axes: Any, task: WorthTask, generations: dict[float, float]) -> None:
    _curve(
        axes, [(generations[one.budget], one.score) for one in task.results if one.budget is not None], "extractions"
    )
    for one in task.results:
        if one.budget is None:
            _level(axes, one.score, one.arm)
    axes.set_title(f"{label(task.name, 40)}: score")
    _axes(axes, task.results[0].score.metric, generations)


def _shares(axes: Any, task: WorthTask, generations: dict[float, float]) -> None:
    found = [(generations[one.budget], one.recovered) for one in task.results if one.budget is not None]
    points = [(at, share) for at, share in found if share is not None and share.value is not None]
    axes.set_title(f"{label(task.name, 40)}: share of the gain")
    if not points:
        look: Any = {"ha": "center", "va": "center", "transform": axes.transAxes, "color": MUTED}
        axes.text(0.5, 0.5, "inconclusive: the originals\ndo not clearly beat the base", **look)
    _curve(axes, points, "")
    controls = next((one.recovered for one in task.results if one.arm == "controls"), None)
    if controls is not None and controls.value is not None:
        _level(axes, controls, "controls")
    axes.axhline(1.0, color=_LINES["originals"][1], linewidth=1.2)
    axes.axhline(0.0, color=INK, linewidth=0.6)
    axes.set_ylim(top=max(1.1, axes.get_ylim()[1]))
    _axes(axes, "recovered_utility", generations)


def _curve(axes: Any, points: Sequence[Point], name: str) -> None:
    if not points:
        return
    marker, line, colour = ATTACK_STYLE[0]
    places = [at for at, _ in points]
    values = [one.value or 0.0 for _, one in points]
    lows = [value - (one.low if one.low is not None else value) for value, (_, one) in zip(values, points, strict=True)]
    highs = [
        (one.high if one.high is not None else value) - value for value, (_, one) in zip(values, points, strict=True)
    ]
    look: Any = {"marker": marker, "linestyle": line, "color": colour, "linewidth": 1.2, "markersize": 4}
    axes.errorbar(places, values, yerr=[lows, highs], capsize=2, elinewidth=1, label=name or None, **look)


def _level(axes: Any, estimate: Estimate, arm: str) -> None:
    line, colour = _LINES[arm]
    axes.axhline(estimate.value, linestyle=line, color=colour, linewidth=1.2, label=arm)
    if estimate.low is not None and estimate.high is not None:
        axes.axhspan(estimate.low, estimate.high, color=colour, alpha=0.12, linewidth=0)


def _axes(axes: Any, metric: str, generations: dict[float, float]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    places = sorted(generations.values())
    axes.set_xscale("log")
    axes.set_xlim(places[0] / 1.5, places[-1] * 1.5)
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("generations")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if formatting.is_share(metric):
        percent_axis(axes.yaxis)

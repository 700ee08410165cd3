"""What removing records takes away: the share of leaking generations against the records that it costs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from auditkit.report.chart_parts import ATTACK_STYLE, Drawn, panels, percent_axis
from auditkit.report.removal import RemovalForecast
from auditkit.report.scored import Removal
from auditkit.report.svg import MUTED, label

FEWEST = 3  # removals: less is said by the table
MOST_PANELS = 12


def removal_charts(removals: Sequence[Removal]) -> list[Drawn]:
    """One panel a dataset with a list worth drawing."""
    datasets = dict.fromkeys(removal.dataset for removal in removals)
    lists = [[removal for removal in removals if removal.dataset == name] for name in datasets]
    drawn = [each for each in lists if len(each) >= FEWEST][:MOST_PANELS]
    if not drawn:
        return []
    figure, cells = panels(len(drawn), 1.7, 2, hspace=0.75)
    for axes, each in zip(cells, drawn, strict=True):
        _curve(axes, each)
    cells[0].set_ylabel("share taken away")
    caption = "What is taken away by removing the listed records, in the order of the list (a dot a cluster)."
    return [("attribution", caption, figure)]


def forecast_charts(forecasts: Sequence[RemovalForecast]) -> list[Drawn]:
    """Predicted coverage along each list that is worth drawing, with its prediction interval as a band."""
    drawn = [one for one in forecasts if len(one.points) > FEWEST][:MOST_PANELS]
    if not drawn:
        return []
    figure, cells = panels(len(drawn), 1.7, 2, hspace=0.75)
    for axes, one in zip(cells, drawn, strict=True):
        _forecast(axes, one)
    cells[0].set_ylabel("coverage")
    caption = (
        "Predicted coverage after removing the listed records and training again, with its 95 % interval; dashed: what "
        "never-trained controls come to."
    )
    return [("attribution", caption, figure)]


def _forecast(axes: Any, found: RemovalForecast) -> None:
    _, line, colour = ATTACK_STYLE[0]
    costs = [point.records for point in found.points]
    axes.fill_between(
        costs, [point.low for point in found.points], [point.high for point in found.points],
        color=colour, alpha=0.18, linewidth=0,
    )  # fmt: skip
    axes.plot(costs, [point.coverage for point in found.points], linestyle=line, color=colour, linewidth=1.2)
    if found.controls:
        axes.axhline(found.controls_leaked / found.controls, color=MUTED, linewidth=0.8, dashes=(5, 3))
    axes.set_title(label(found.dataset, 40))
    axes.set_xlabel("records removed")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    percent_axis(axes.yaxis)


def _curve(axes: Any, removals: Sequence[Removal]) -> None:
    from matplotlib.ticker import MaxNLocator

    marker, line, colour = ATTACK_STYLE[0]
    costs = [0, *accumulate(removal.records for removal in removals)]
    shares = [0.0, *(removal.cumulative for removal in removals)]
    look: Any = {"marker": marker, "linestyle": line, "color": colour, "linewidth": 1.2, "markersize": 2.6}
    axes.plot(costs, shares, **look)
    axes.set_title(label(removals[0].dataset, 40))
    axes.set_xlabel("records removed")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.set_ylim(-0.03 * shares[-1], 1.12 * shares[-1])
    axes.grid(axis="y")
    percent_axis(axes.yaxis)

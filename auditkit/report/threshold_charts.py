"""Rates against the threshold: members and controls, drawn at random and to one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit.records import View
from auditkit.report.chart_parts import ATTACK_STYLE, Drawn, panels, percent_axis, quoted
from auditkit.report.scored import ThresholdCurve
from auditkit.report.svg import INK, label

MOST_PANELS = 12
_DRAWN = {"at_random": "at random", "by_length": "of like length"}


def threshold_charts(curves: Sequence[ThresholdCurve], thresholds: dict[tuple[str, View], float | None]) -> list[Drawn]:
    """One figure a dataset and view, two panels an attack."""
    drawn = []
    for dataset, view in dict.fromkeys((curve.dataset, curve.view) for curve in curves):
        places = [place for place, curve in enumerate(curves) if (curve.dataset, curve.view) == (dataset, view)]
        group = [curves[place] for place in places[:MOST_PANELS]]
        figure, cells = panels(len(group), 1.9, 2, wspace=0.22, hspace=0.75)
        for axes, place, curve in zip(cells, places, group, strict=False):
            axes.set_gid(panel_name(place))
            _curve(axes, curve, thresholds.get((dataset, view)))
        cells[0].legend(loc="best", handlelength=2.4)
        cells[0].set_ylabel("share of generations")
        caption = (
            f"Generations whose best score reaches a threshold, {quoted(dataset)}, {view} view: against members "
            "(solid, dots) and as many controls (dashed, squares), with 95 % intervals. Broken: the threshold in use."
            f"{_thinned(group)}"
        )
        drawn.append(("thresholds", caption, figure))
    return drawn


def panel_name(place: int) -> str:
    """What the panel of the so-manieth curve is called in ``panel_boxes``."""
    return f"curve-{place}"


def _thinned(curves: Sequence[ThresholdCurve]) -> str:
    """Which generations are left out of some curve."""
    every = sorted({curve.every for curve in curves if curve.every > 1})
    each = " or ".join(f"{number:,}-th" for number in every)
    return f" There are very many generations: only every {each} one was looked at." if every else ""


def _curve(axes: Any, curve: ThresholdCurve, threshold: float | None) -> None:
    places = [point.threshold for point in curve.points]
    sides = (
        ("members", [(point.members, point.members_low, point.members_high) for point in curve.points]),
        ("controls", [(point.controls, point.controls_low, point.controls_high) for point in curve.points]),
    )
    for (name, values), (marker, line, colour) in zip(sides, ATTACK_STYLE, strict=False):
        value, low, high = zip(*values, strict=True)
        look = {"marker": marker, "linestyle": line, "color": colour, "linewidth": 1.2, "markersize": 3.2}
        axes.plot(places, value, markevery=max(1, len(places) // 5), label=name, **look)
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    if threshold is not None:
        axes.axvline(threshold, color=INK, linewidth=0.9, dashes=(5, 3))
    axes.set_title(f"{label(curve.attack, 24)}, {_DRAWN[curve.drawn]} (n = {curve.records:,})")
    axes.set_xlabel("threshold")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    percent_axis(axes.yaxis)

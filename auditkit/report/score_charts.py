"""Scores of all generations: histograms, scatters, and coverage as generations grow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

from auditkit.records import View
from auditkit.report.base import CoverageCurve, Histogram, Scatter, ScatterPoint
from auditkit.report.chart_parts import ATTACK_STYLE, Drawn, panels, percent_axis, quoted
from auditkit.report.definitions import title
from auditkit.report.scored import BudgetForecast, ForeseenAt
from auditkit.report.svg import INK, MUTED, label

MOST_POINTS = 500
Shape = tuple[tuple[float, float], ...]  # corners, about the point
# cividis at four steps: falls evenly from light to dark in greyscale too.
LENGTH_STYLE: tuple[tuple[Shape, str], ...] = (
    (((0.0, 1.1), (-1.0, -0.8), (1.0, -0.8)), "#fee838"),
    (
        ((0.4, 1.0), (1.0, 0.4), (1.0, -0.4), (0.4, -1.0), (-0.4, -1.0), (-1.0, -0.4), (-1.0, 0.4), (-0.4, 1.0)),
        "#bcae6c",
    ),
    (((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)), "#666870"),
    (((0.0, 1.2), (1.2, 0.0), (0.0, -1.2), (-1.2, 0.0)), "#00224e"),
)

Group = TypeVar("Group", Histogram, Scatter)


def _by_dataset(entries: Sequence[Group]) -> dict[tuple[str, View], list[Group]]:
    """The entries of each dataset and view, in the order of the report, whole records before prompts."""
    groups: dict[tuple[str, View], list[Group]] = {}
    for entry in sorted(entries, key=lambda entry: entry.view != "record"):
        groups.setdefault((entry.dataset, entry.view), []).append(entry)
    return groups


def histogram_charts(entries: Sequence[Histogram], thresholds: dict[tuple[str, View], float | None]) -> list[Drawn]:
    """One figure a dataset and view, one panel a measure, the attacks drawn over one another."""
    drawn = []
    for (dataset, view), group in _by_dataset(entries).items():
        by_measure = _by_measure(group)
        figure, cells = panels(len(by_measure), 1.8, bottom=0.3)
        for axes, (measure, same) in zip(cells, by_measure.items(), strict=True):
            _histogram(axes, measure, same, thresholds.get((dataset, view)))
        cells[0].set_ylabel("share of generations")
        caption = (
            f"Best score of each generation against {quoted(dataset)}, {view} view. Embedding scores: all scored "
            "generations; string similarities: exact, on the stated sample (n). Broken line: threshold."
        )
        drawn.append(("scores", caption, figure))
    return drawn


def _by_measure(histograms: Sequence[Histogram]) -> dict[str, list[Histogram]]:
    """By measure: the embedding first, then as they come."""
    grouped: dict[str, list[Histogram]] = {}
    for histogram in sorted(histograms, key=lambda entry: "embedding" not in entry.measure):
        grouped.setdefault(histogram.measure, []).append(histogram)
    return grouped


def _histogram(axes: Any, measure: str, entries: Sequence[Histogram], threshold: float | None) -> None:
    for place, entry in enumerate(entries):
        _, line, colour = ATTACK_STYLE[place % len(ATTACK_STYLE)]
        shares = [amount / max(1, sum(entry.counts)) for amount in entry.counts]
        name = f"{label(entry.attack, 22)} (n = {entry.sample:,})"
        axes.stairs(shares, entry.edges, color=colour, linestyle=line, linewidth=1.2, label=name)
        if place == 0:
            axes.stairs(shares, entry.edges, color=colour, fill=True, alpha=0.18)
    if threshold is not None and "embedding" in measure:
        axes.axvline(threshold, ymax=0.76, color=INK, linewidth=0.9, dashes=(5, 3))
    axes.set_title(label(title(measure), 34))
    axes.set_ylim(bottom=0, top=max(0.01, axes.get_ylim()[1]) * 1.3)
    axes.legend(loc="upper left", borderaxespad=0.1, handlelength=1.8)
    percent_axis(axes.yaxis)


def scatter_charts(scatters: Sequence[Scatter]) -> list[Drawn]:
    """Embedding score against Levenshtein similarity to the same record, shape and shade by length."""
    drawn = []
    for (dataset, view), group in _by_dataset([scatter for scatter in scatters if scatter.points]).items():
        entries = group[:4]
        columns = min(2, len(entries))
        figure, cells = panels(len(entries), 2.55, max(2, columns), wspace=0.24, hspace=0.55)
        bounds = _length_bounds([point.length for entry in entries for point in entry.points])
        for axes, entry in zip(cells, entries, strict=True):
            _scatter(axes, entry, bounds)
        cells[0].set_ylabel("Levenshtein similarity")
        _length_legend(cells[0], bounds)
        caption = (
            f"Embedding score against Levenshtein similarity to the same record of {quoted(dataset)}, {view} view; "
            f"shade and shape by length of the generation, at most {MOST_POINTS} points a panel. Broken: threshold."
        )
        drawn.append(("scores", caption, figure))
    return drawn


def _length_bounds(lengths: Sequence[int]) -> list[int]:
    """Quartiles of the lengths, each once: the upper ends of all but the last class."""
    ordered = sorted(lengths)
    return sorted({ordered[len(ordered) * quarter // 4] for quarter in (1, 2, 3)})


def _length_names(bounds: Sequence[int]) -> list[str]:
    between = [f"{low + 1:,} to {high:,}" for low, high in pairwise(bounds)]
    return [f"up to {bounds[0]:,}", *between, f"over {bounds[-1]:,}"]


def _scatter(axes: Any, entry: Scatter, bounds: Sequence[int]) -> None:
    points = entry.points[:: -(-len(entry.points) // MOST_POINTS)]
    lowest = [min(point.embedding for point in points), min(point.levenshtein for point in points)]
    axes.set_xlim(min(0.0, lowest[0]) - 0.03, 1.03)
    axes.set_ylim(min(0.0, lowest[1]) - 0.03, 1.05)
    for place, (shape, colour) in enumerate(LENGTH_STYLE):
        chosen = [point for point in points if sum(point.length > bound for bound in bounds) == place]
        _dots(axes, chosen, shape, colour)
    if entry.threshold is not None:
        axes.axvline(entry.threshold, color=INK, linewidth=0.9, dashes=(5, 3))
    axes.set_title(label(entry.attack, 40))
    axes.set_xlabel("embedding score")
    axes.grid()
    axes.set_axisbelow(True)


def _dots(axes: Any, points: Sequence[ScatterPoint], shape: Shape, colour: str) -> None:
    """All points of one class as a single path: a node for each would cost seconds on paper."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not points:
        return
    places = axes.transData.transform([(point.embedding, point.levenshtein) for point in points])
    outline = [*shape, shape[0]]
    path = Path.make_compound_path(
        *(Path([(x + 2 * u, y + 2 * v) for u, v in outline], closed=True) for x, y in places)
    )
    patch = PathPatch(path, transform=None, facecolor=colour, edgecolor=MUTED, linewidth=0.4)
    axes.add_artist(patch)
    patch.set_clip_on(False)


def _length_legend(axes: Any, bounds: Sequence[int]) -> None:
    """The classes of length, above the panels."""
    from matplotlib.lines import Line2D

    names = _length_names(bounds)
    look: Any = {"linestyle": "", "markeredgecolor": MUTED, "markeredgewidth": 0.4, "markersize": 4}
    handles = [Line2D([], [], marker=list(s), color=c, **look) for s, c in LENGTH_STYLE[: len(names)]]  # type: ignore[arg-type]
    axes.legend(handles, names, title="characters", loc="upper left", handletextpad=0.1, title_fontsize=7)


def coverage_charts(curves: Sequence[CoverageCurve], forecasts: Sequence[BudgetForecast] = ()) -> list[Drawn]:
    """Distinct records hit as generations grow: members against controls, one panel an attack and dataset.

    Where there is a forecast, the members' curve goes on to twice the generations.
    """
    drawn = []
    ahead = {(one.dataset, one.attack, one.view): one.on_the_way for one in forecasts}
    attacks = len({curve.attack for curve in curves})
    for view in dict.fromkeys(curve.view for curve in sorted(curves, key=lambda curve: curve.view != "record")):
        entries = [curve for curve in curves if curve.view == view][:12]
        figure, cells = panels(len(entries), 1.9, 2 if attacks <= 2 else 3, hspace=0.75)
        for axes, curve in zip(cells, entries, strict=True):
            _curve(axes, curve, ahead.get((curve.dataset, curve.attack, curve.view), []))
        cells[0].legend(loc="upper left", handlelength=2.4)
        cells[0].set_ylabel("share of records hit")
        foreseen = any(ahead.get((curve.dataset, curve.attack, curve.view)) for curve in entries)
        caption = (
            f"Coverage against generations, {view} view: members (solid, dots), controls (dashed, squares)."
            f"{' Dotted, with its 95 % interval: the forecast for members up to twice the generations.' * foreseen}"
        )
        drawn.append(("coverage", caption, figure))
    return drawn


def _curve(axes: Any, curve: CoverageCurve, ahead: Sequence[ForeseenAt]) -> None:
    every = max(1, len(curve.generations) // 8)
    for values, name, (marker, line, colour) in (
        (curve.members, "members", ATTACK_STYLE[0]),
        (curve.controls, "controls", ATTACK_STYLE[1]),
    ):
        look = {"marker": marker, "linestyle": line, "color": colour, "linewidth": 1.2, "markersize": 3.4}
        axes.plot(curve.generations, values, markevery=every, label=name, **look)
    if ahead:
        places, colour = [point.generations for point in ahead], ATTACK_STYLE[0][2]
        axes.plot(
            places, [point.value for point in ahead], linestyle=":", color=colour, linewidth=1.4, label="forecast"
        )
        band = [point.low for point in ahead], [point.high for point in ahead]
        axes.fill_between(places, *band, color=colour, alpha=0.15, linewidth=0)
    axes.set_title(f"{label(curve.dataset, 22)} · {label(curve.attack, 20)}")
    axes.set_xlabel("generations")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_major_locator(_few_ticks())
    top = max([*curve.members, *curve.controls, *(point.high for point in ahead), 0.001])
    axes.set_ylim(-0.02 * top, top * 1.32)
    axes.grid(axis="y")
    percent_axis(axes.yaxis)


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, integer=True)

"""Leakage against what it costs to lessen it: an arm a point, with intervals both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from auditkit.report import formatting
from auditkit.report.arm_figures import PERPLEXITY
from auditkit.report.arm_panels import ArmPanel, ArmPoint
from auditkit.report.chart_parts import Drawn, panels, percent_axis
from auditkit.report.definitions import title
from auditkit.report.label_places import Box, label_places
from auditkit.report.svg import FIRST, INK, MUTED, PAPER, RULE, SECOND, label

MOST_PANELS = 6
MOST_COST = 10.0  # eleven times the baseline's perplexity is no less broken than a million times
WIDEST = {"cost": 12.0, "leak": 100.0}  # largest figure / limit beyond which a linear axis would hide the limit
LINEAR = {"cost": 2.0, "leak": 0.5}  # room for what is within the limit, in decades of what is beyond
ROOM = 1.3  # the axes go so much beyond what is drawn
SHAPES = {"training": "o", "weights": "s", "decoding": "v", "serving": "^"}
LABEL = 7.0  # points
Ends = tuple[float, float, float]  # value, low, high


def arm_charts(found: Sequence[ArmPanel]) -> list[Drawn]:
    """One figure with one panel a dataset."""
    shown = found[:MOST_PANELS]
    if not shown:
        return []
    columns = min(2, len(shown))
    figure, cells = panels(len(shown), 3.3, columns, top=0.5, bottom=0.5, wspace=0.24, hspace=0.55)
    for axes, panel in zip(cells, shown, strict=True):
        _panel(axes, panel)
        axes.set_xlabel(f"{_cost_words(panel)} against the baseline")
    cells[0].set_ylabel(f"{label(title(shown[0].metric), 40)}, strongest attack")
    _legend(figure, shown)
    return [("mitigations", _caption(shown), figure)]


def _cost_words(panel: ArmPanel) -> str:
    return "rise of control perplexity" if panel.cost_metric == PERPLEXITY else "drop of task accuracy"


def _caption(shown: Sequence[ArmPanel]) -> str:
    left_out = sorted({number for panel in shown for number in panel.left_out})
    beyond = any(point.cost[0] > MOST_COST for panel in shown for point in panel.points)
    sentences = [
        "What each arm leaks under its strongest attack against what it costs, with 95 % intervals: the lower and the "
        "further left, the better. The numbers are those of the table; 0 is the baseline.",
        "Open: does not count (not viable, not known to be, or means nothing against the planned release's attacker).",
        "Ringed: what the rules single out." if any(p.marked for panel in shown for p in panel.points) else "",
        "Broken line: the gate's limit." if any(panel.limit is not None for panel in shown) else "",
        "Shaded: no longer viable." if any(panel.most is not None for panel in shown) else "",
        "The axes are linear near 0 and logarithmic beyond, where they have to be." if _bent(shown) else "",
        f"Costs over {formatting.percent(MOST_COST)} are drawn there." if beyond else "",
        f"Without a figure, so not drawn: {', '.join(map(str, left_out))}." if left_out else "",
    ]
    return " ".join(filter(None, sentences))


def _bent(shown: Sequence[ArmPanel]) -> bool:
    return any(
        _bend("cost", [_all_capped(point.cost) for point in panel.points], panel.most)
        or _bend("leak", [point.leak for point in panel.points], panel.limit)
        for panel in shown
    )


def _bend(side: str, ranges: Sequence[Ends], limit: float | None) -> float | None:
    """Where an axis turns logarithmic: at the limit, if the largest figure would squeeze it to nothing."""
    largest = max([0.0, *(high for _, _, high in ranges)])
    return limit if limit and largest > WIDEST[side] * limit else None


def _capped(cost: float) -> float:
    return max(-MOST_COST, min(MOST_COST, cost))


def _panel(axes: Any, panel: ArmPanel) -> None:
    axes.set_title(f"{label(panel.dataset, 40)}, {panel.view}")
    _scale(axes, "cost", [_all_capped(point.cost) for point in panel.points], panel.most)
    _scale(axes, "leak", [point.leak for point in panel.points], panel.limit)
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid()
    axes.set_axisbelow(True)
    taken = list(_bounds(axes, panel))
    for point in sorted(panel.points, key=lambda point: point.number == 0):
        _draw(axes, point)
    _label(axes, panel.points, [*taken, *(box for point in panel.points for box in _lines(axes, point))])


def _all_capped(cost: Ends) -> Ends:
    value, low, high = map(_capped, cost)
    return value, low, high


def _scale(axes: Any, side: str, ranges: Sequence[Ends], limit: float | None) -> None:
    """Room for every interval and for the limit; bent where the limit would not be seen."""
    set_scale, set_limits = (axes.set_xscale, axes.set_xlim) if side == "cost" else (axes.set_yscale, axes.set_ylim)
    lowest = min([0.0, *(low for _, low, _ in ranges)])
    top = max([1e-4, limit or 0.0, *(high for _, _, high in ranges)])
    bend = _bend(side, ranges, limit)
    if bend is None:
        set_limits(min(lowest - 0.03 * top, -0.06 * top), top * 1.1)
        return
    set_scale("symlog", linthresh=bend, linscale=LINEAR[side])
    set_limits(min(lowest * ROOM, -0.2 * bend), top * ROOM)


def _bounds(axes: Any, panel: ArmPanel) -> Iterator[Box]:
    """The gate's limit and the end of viability, with their words; yields where these stand, in points."""
    left, right = axes.get_xlim()
    look: Any = {"fontsize": 6.5, "color": MUTED, "annotation_clip": False, "textcoords": "offset points"}
    if panel.most is not None and panel.most < right:
        axes.axvspan(panel.most, right, facecolor=RULE, alpha=0.45, linewidth=0)
        axes.annotate("not viable", (right, axes.get_ylim()[1]), (-3, -3), ha="right", va="top", **look)
        x, y = axes.transAxes.transform((1, 1))
        yield Box(x - 24, y - 7, 48, 12)
    if panel.limit is not None:
        axes.axhline(panel.limit, color=INK, linewidth=0.9, dashes=(5, 3))
        words = f"gate: {formatting.percent(panel.limit)}"
        axes.annotate(words, (right, panel.limit), (-3, 2), ha="right", va="bottom", **look)
        x, y = axes.transData.transform((right, panel.limit))
        yield Box(x - 26, y + 6, 52, 11)
        yield Box(x - axes.bbox.width / 2, y, axes.bbox.width, 1)
    axes.set_xlim(left, right)


def _draw(axes: Any, point: ArmPoint) -> None:
    cost, leak = _all_capped(point.cost), point.leak
    colour = SECOND if point.number == 0 else FIRST
    lines: Any = {"color": colour, "linewidth": 1.0, "alpha": 0.75, "solid_capstyle": "butt"}
    axes.plot(cost[1:], [leak[0]] * 2, **lines)
    axes.plot([cost[0]] * 2, leak[1:], **lines)
    look: Any = {"markeredgecolor": colour, "markersize": 5.5, "linestyle": "", "markeredgewidth": 1.1, "zorder": 4}
    shape = "D" if point.number == 0 else SHAPES.get(point.acts_on, "o")
    axes.plot(cost[0], leak[0], shape, color=colour if point.counts else PAPER, **look)
    if point.marked:
        axes.plot(cost[0], leak[0], "o", **(look | {"color": "none", "markeredgecolor": INK, "markersize": 10.5}))


def _lines(axes: Any, point: ArmPoint) -> Iterator[Box]:
    """Where a point's intervals are drawn."""
    (cost, left, right), (leak, bottom, top) = _all_capped(point.cost), point.leak
    for start, end in (((left, leak), (right, leak)), ((cost, bottom), (cost, top))):
        (x, y), (to_x, to_y) = axes.transData.transform((start, end))
        yield Box((x + to_x) / 2, (y + to_y) / 2, abs(to_x - x) + 1, abs(to_y - y) + 1)


def _label(axes: Any, points: Sequence[ArmPoint], taken: Sequence[Box]) -> None:
    """Each point's number beside it, with a line to it where it had to move away."""
    places = [tuple(axes.transData.transform((_capped(point.cost[0]), point.leak[0]))) for point in points]
    box = axes.bbox
    bounds = Box(box.x0 + box.width / 2, box.y0 + box.height / 2, box.width, box.height)
    sizes = [(4.6 * len(str(point.number)) + 2, LABEL + 2) for point in points]
    found = label_places(places, sizes, bounds, taken)
    line: Any = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkA": 3, "shrinkB": 3}
    look: Any = {
        "xycoords": "figure pixels",
        "textcoords": "figure pixels",
        "ha": "center",
        "va": "center",
        "zorder": 5,
    }
    for point, (x, y), (to_x, to_y) in zip(points, places, found, strict=True):
        far = abs(to_x - x) + abs(to_y - y) > 3 * LABEL
        weight = "bold" if point.marked else "normal"
        words = str(point.number)
        arrow = line if far else None
        axes.annotate(words, (x, y), (to_x, to_y), fontsize=LABEL, fontweight=weight, arrowprops=arrow, **look)


def _legend(figure: Any, shown: Sequence[ArmPanel]) -> None:
    """Which shape is what, above the panels."""
    from matplotlib.lines import Line2D

    arms = [point for panel in shown for point in panel.points if point.number]
    look: Any = {"linestyle": "", "markersize": 5.5, "markeredgewidth": 1.1}
    handles = [Line2D([], [], marker="D", color=SECOND, label="baseline", **look)]
    for place, shape in SHAPES.items():
        if any(point.acts_on == place for point in arms):
            words = f"acts on {place}" if len(handles) == 1 else place
            handles.append(Line2D([], [], marker=shape, color=FIRST, label=words, **look))
    if not all(point.counts for point in arms):
        look |= {"markerfacecolor": PAPER, "markeredgecolor": FIRST}
        handles.append(Line2D([], [], marker="o", label="does not count", **look))
    figure.legend(handles=handles, loc="upper center", ncols=len(handles), handletextpad=0.1, borderaxespad=0.1)

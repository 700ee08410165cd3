"""What the charts have in common: panels, axes in per cent, and how attacks are told apart."""

from __future__ import annotations

from typing import Any

from auditkit.report import formatting
from auditkit.report.svg import FIRST, SECOND, label

WIDTH = 6.85  # inches: the text width of an A4 page
ATTACK_STYLE = (("o", "-", FIRST), ("s", "--", SECOND), ("D", ":", "#5b7f5b"), ("^", "-.", "#7d5a86"))

Drawn = tuple[str, str, Any]  # section, caption, matplotlib figure


def panels(count: int, height: float, columns: int = 3, **margins: float) -> tuple[Any, list[Any]]:
    """A figure with ``count`` axes in rows of ``columns``; heights and margins in inches."""
    from matplotlib.figure import Figure

    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, height * rows), dpi=72)
    space = {"left": 0.55, "right": 0.12, "top": 0.28, "bottom": 0.48, "wspace": 0.32, "hspace": 0.8} | margins
    total = height * rows
    figure.subplots_adjust(
        left=space["left"] / WIDTH,
        right=1 - space["right"] / WIDTH,
        top=1 - space["top"] / total,
        bottom=space["bottom"] / total,
        wspace=space["wspace"],
        hspace=space["hspace"],
    )
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def percent_axis(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: formatting.percent(round(value, 9)).replace(formatting.NBSP, ""))


def quoted(name: str) -> str:
    """A name as captions have it."""
    return f"“{label(name, 80)}”".replace(r"\$", "$")

"""How far the leaked records rose above never-trained controls, stage by stage: one panel a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit.report.chart_parts import ATTACK_STYLE, Drawn, panels
from auditkit.report.stage_attribution import StageStep
from auditkit.report.svg import MUTED, label

MOST_PANELS = 12
CAPTION = (
    "How much likelier each training step made the leaked records, above never-trained controls of like length and "
    "likelihood (0), in nats a token: median, half of the records (thick) and nine in ten (thin)."
)


def stage_charts(steps: Sequence[StageStep]) -> list[Drawn]:
    """One panel a dataset with leaked records that could be read."""
    datasets = dict.fromkeys(step.dataset for step in steps)
    lists = [[step for step in steps if step.dataset == name and step.excess.p50 is not None] for name in datasets]
    drawn = [each for each in lists if each][:MOST_PANELS]
    if not drawn:
        return []
    figure, cells = panels(len(drawn), 1.9, 2, hspace=0.75)
    for axes, each in zip(cells, drawn, strict=True):
        _panel(axes, each)
    cells[0].set_ylabel("nats a token")
    return [("stages", CAPTION, figure)]


def _panel(axes: Any, steps: Sequence[StageStep]) -> None:
    marker, _, colour = ATTACK_STYLE[0]
    axes.axhline(0, color=MUTED, linewidth=0.8, dashes=(5, 3))
    for place, step in enumerate(steps):
        spread = step.excess
        axes.plot([place, place], [spread.p05, spread.p95], color=colour, linewidth=1.0)
        axes.plot([place, place], [spread.p25, spread.p75], color=colour, linewidth=4.0, solid_capstyle="butt")
        axes.plot([place], [spread.p50], marker=marker, color="white", markeredgecolor=colour, markersize=4.5)
    axes.set_xticks(range(len(steps)), [label(step.checkpoint, 16) for step in steps])
    axes.set_xlim(-0.6, len(steps) - 0.4)
    axes.set_title(label(steps[0].dataset, 40))
    axes.set_xlabel("training step that led to")
    axes.grid(axis="y")
    axes.set_axisbelow(True)

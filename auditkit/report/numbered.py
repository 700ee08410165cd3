"""The report's figures, numbered through in the order of its sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from auditkit.report.base import AuditReport
from auditkit.report.figures import Chart, draw_all
from auditkit.report.panel_boxes import PanelBox
from auditkit.report.svg import for_paper
from auditkit.report.svg_screen import for_screen


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its number in the document."""

    number: int
    caption: str
    svg: Markup
    panels: tuple[PanelBox, ...] = ()


def numbered_figures(report: AuditReport, sections: Sequence[str], screen: bool) -> dict[str, list[Figure]]:
    """The charts by section; ink follows the reader's light or dark on a screen. "probes:..." belongs to "probes"."""
    places = {name: place for place, name in enumerate(sections)}
    figures: dict[str, list[Figure]] = {name: [] for name in sections}
    ordered: list[Chart] = sorted(draw_all(report), key=lambda chart: places[chart.section.partition(":")[0]])
    for number, chart in enumerate(ordered, 1):
        svg = _on_screen(chart, number) if screen else for_paper(chart.svg, chart.caption)
        figures.setdefault(chart.section, []).append(Figure(number, chart.caption, svg, chart.panels))
    return figures


def _on_screen(chart: Chart, number: int) -> Markup:
    return for_screen(chart.svg, f"figure-{number}", f"Figure {number}", chart.caption)

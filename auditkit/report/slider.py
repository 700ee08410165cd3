"""The threshold slider of the page: for every threshold that was counted, the words and places that it shows.

Everything is worked out and written here. The page's script only chooses among these: it computes no statistics and
interpolates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from auditkit.records import View
from auditkit.report import formatting
from auditkit.report.base import AuditReport, Calibration
from auditkit.report.numbered import Figure
from auditkit.report.panel_boxes import PanelBox
from auditkit.report.safe_text import safe_line
from auditkit.report.scored import ThresholdCurve, ThresholdPoint
from auditkit.report.threshold_charts import panel_name

_DRAWN = {"at_random": "members at random", "by_length": "members of like length"}

Cell = tuple[str, str, str]  # a rate, its 95 % interval, and the count behind it


@dataclass(frozen=True, slots=True)
class Marks:
    """Where a panel of the figure shows each threshold; a point without a place was not counted for this curve."""

    top: float
    bottom: float
    across: list[float]
    members: list[float]
    controls: list[float]


@dataclass(frozen=True, slots=True)
class Reading:
    """One curve: against members, against controls and their difference, for each threshold; None: not counted."""

    name: str
    cells: list[tuple[Cell, Cell, Cell] | None]
    marks: Marks | None


@dataclass(frozen=True, slots=True)
class Slider:
    """All curves of one dataset and view. ``in_use``: the place of the threshold that the verdict stands at."""

    id: str
    title: str
    thresholds: list[str]
    in_use: int | None
    source: str
    readings: list[Reading]
    figure: Figure | None

    @property
    def data(self) -> dict[str, Any]:
        """What the script needs, ready for JSON."""
        return {
            "id": self.id,
            "title": self.title,
            "thresholds": self.thresholds,
            "inUse": self.in_use,
            "source": self.source,
            "readings": [asdict(reading) for reading in self.readings],
        }


def sliders(report: AuditReport, figures: Sequence[Figure]) -> list[Slider]:
    """A slider for each dataset and view of the threshold curves; ``figures`` are theirs, in the same order."""
    calibrated = {(entry.dataset, entry.view): entry for entry in report.calibration}
    groups = dict.fromkeys((curve.dataset, curve.view) for curve in report.thresholds)
    return [
        _slider(f"slider-{place}", report.thresholds, group, calibrated.get(group), figure)
        for place, (group, figure) in enumerate(zip(groups, [*figures, *[None] * len(groups)], strict=False))
    ]


def _slider(
    name: str,
    curves: Sequence[ThresholdCurve],
    group: tuple[str, View],
    calibration: Calibration | None,
    figure: Figure | None,
) -> Slider:
    ours = {place: curve for place, curve in enumerate(curves) if (curve.dataset, curve.view) == group}
    thresholds = sorted({point.threshold for curve in ours.values() for point in curve.points})
    in_use = calibration.threshold if calibration else None
    boxes = {box.name: box for box in figure.panels} if figure else {}
    return Slider(
        id=name,
        title=f"{safe_line(group[0], 80)}, {group[1]} view",
        thresholds=[formatting.fixed(threshold, 4) for threshold in thresholds],
        in_use=thresholds.index(in_use) if in_use in thresholds else None,
        source="fixed by the policy" if calibration and calibration.source == "policy" else "calibrated",
        readings=[_reading(curve, thresholds, boxes.get(panel_name(place))) for place, curve in ours.items()],
        figure=figure,
    )


def _reading(curve: ThresholdCurve, thresholds: Sequence[float], box: PanelBox | None) -> Reading:
    found = {point.threshold: point for point in curve.points}
    points = [found.get(threshold) for threshold in thresholds]
    return Reading(
        name=f"{safe_line(curve.attack, 60)}, {_DRAWN[curve.drawn]}",
        cells=[_cells(point, curve.generations) if point else None for point in points],
        marks=_marks(points, thresholds, box) if box else None,
    )


def _cells(point: ThresholdPoint, generations: int) -> tuple[Cell, Cell, Cell]:
    return (
        _cell(point.members, point.members_low, point.members_high, _hits(point.members, generations)),
        _cell(point.controls, point.controls_low, point.controls_high, _hits(point.controls, generations)),
        _cell(point.adjusted, point.adjusted_low, point.adjusted_high, ""),
    )


def _cell(share: float, low: float, high: float, count: str) -> Cell:
    return formatting.percent(share), f"{formatting.percent(low)} to {formatting.percent(high)}", count


def _hits(share: float, generations: int) -> str:
    """A mean over the draws is a whole number in some cases only: one decimal place."""
    return f"{formatting.count(round(share * generations, 1))} of {formatting.count(generations)}"


def _marks(points: Sequence[ThresholdPoint | None], thresholds: Sequence[float], box: PanelBox) -> Marks:
    return Marks(
        top=round(box.top, 2),
        bottom=round(box.bottom, 2),
        across=[box.across(threshold) for threshold in thresholds],
        members=[box.down(point.members) if point else box.bottom for point in points],
        controls=[box.down(point.controls) if point else box.bottom for point in points],
    )

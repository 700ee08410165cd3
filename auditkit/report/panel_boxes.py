"""Where the panels of a drawn figure lie, so that the page can mark a place on their axes without any mathematics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PanelBox:
    """A panel in the units of its SVG, which grow downwards; linear axes from ``low`` to ``high`` and so on."""

    name: str
    left: float
    right: float
    top: float
    bottom: float
    low: float
    high: float
    lowest: float
    highest: float

    def across(self, value: float) -> float:
        """Where a value of the horizontal axis lies."""
        return round(self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left), 2)

    def down(self, value: float) -> float:
        """Where a value of the vertical axis lies, kept inside the panel."""
        share = (value - self.lowest) / (self.highest - self.lowest)
        return round(self.bottom - min(1.0, max(0.0, share)) * (self.bottom - self.top), 2)


def panel_boxes(figure: Any) -> Iterator[PanelBox]:
    """The panels of a matplotlib figure that were given a name (``set_gid``)."""
    height = figure.bbox.height
    for axes in figure.axes:
        if name := axes.get_gid():
            box = axes.bbox
            yield PanelBox(
                name,
                left=box.x0,
                right=box.x1,
                top=height - box.y1,
                bottom=height - box.y0,
                low=axes.get_xlim()[0],
                high=axes.get_xlim()[1],
                lowest=axes.get_ylim()[0],
                highest=axes.get_ylim()[1],
            )

"""Where labels of points go so that none lies on another, on a marker, or outside the axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, pi, sin

MARKER = 4.0  # half a marker's size
RINGS = 60
ANGLES = 16
STEP = 5.0

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle about a middle, in points."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two have more than an edge in common."""
        across = abs(self.x - other.x) < (self.width + other.width) / 2
        return across and abs(self.y - other.y) < (self.height + other.height) / 2

    def inside(self, other: Box) -> bool:
        """Whether this one lies wholly within the other."""
        across = abs(self.x - other.x) <= (other.width - self.width) / 2
        return across and abs(self.y - other.y) <= (other.height - self.height) / 2


def label_places(
    points: Sequence[Point], sizes: Sequence[Point], bounds: Box, taken: Sequence[Box] = ()
) -> list[Point]:
    """The middle of each point's label: as near as there is room, upper right first; the same for the same points.

    ``points`` (n,) and ``sizes`` (n,), widths and heights, in points of the page; ``taken`` is what stands there
    already. A label for which no place is left in ``bounds`` stands upper right of its point all the same.
    """
    blocked = [*taken, *(Box(x, y, 2 * MARKER, 2 * MARKER) for x, y in points)]
    placed: list[Point] = []
    for point, (width, height) in zip(points, sizes, strict=True):
        candidates = list(_around(point, width, height))
        boxes = (Box(x, y, width, height) for x, y in candidates)
        free = next(
            (box for box in boxes if box.inside(bounds) and not any(box.overlaps(other) for other in blocked)),
            Box(*candidates[0], width, height),
        )
        blocked.append(free)
        placed.append((free.x, free.y))
    return placed


def _around(point: Point, width: float, height: float) -> Iterator[Point]:
    """Places about a point in widening rings, each begun at the upper right."""
    x, y = point
    for ring in range(RINGS):
        across, up = MARKER + width / 2 + ring * STEP, MARKER + height / 2 + ring * STEP
        for turn in range(ANGLES):
            angle = pi / 4 + 2 * pi * turn / ANGLES
            # On the edge of a square, not of a circle: in the corners too the label clears the marker.
            edge = max(abs(cos(angle)), abs(sin(angle)))
            yield x + across * cos(angle) / edge, y + up * sin(angle) / edge

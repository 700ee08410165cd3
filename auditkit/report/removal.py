"""What removing the first records of a removal list would leave of the leak, as data."""

from __future__ import annotations

from auditkit.report.part import Part


class RemovalPoint(Part):
    """After so many clusters of the list: predicted coverage with its 95 % prediction interval."""

    clusters: int
    records: int
    coverage: float
    low: float
    high: float


class RemovalForecast(Part):
    """One dataset. Coverage is of all its clusters as declared today, by all attacks together."""

    dataset: str
    clusters: int
    clusters_leaked: int
    controls: int  # clusters of evaluation controls
    controls_leaked: int
    listed: int  # clusters of the whole list
    points: list[RemovalPoint]  # from none removed to all of the list

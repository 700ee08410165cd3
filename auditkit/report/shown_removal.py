"""What the report says of the leak that would be left without the first records of a removal list."""

from __future__ import annotations

from collections.abc import Iterator

from auditkit.report import formatting
from auditkit.report.base import AuditReport
from auditkit.report.removal import RemovalForecast, RemovalPoint

SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)  # of the list


def what_is_left(report: AuditReport) -> list[tuple[str, RemovalPoint]]:
    """(dataset, point) for a few lengths of each list, nothing removed first; none where nothing is listed."""
    found = report.attribution.forecasts if report.attribution else []
    return [(one.dataset, point) for one in found if one.listed for point in _points(one)]


def _points(found: RemovalForecast) -> Iterator[RemovalPoint]:
    """The points nearest to the shares, each once."""
    nearest = [min(found.points, key=lambda point: abs(point.clusters - share * found.listed)) for share in SHARES]
    yield from {point.clusters: point for point in nearest}.values()


def removal_sentences(report: AuditReport) -> list[str]:
    """For the shorter forms: what the first half of each list would take away."""
    return [
        f"{one.dataset}: without the first {half.clusters:,} clusters ({half.records:,} records) of the removal list, "
        f"{formatting.percent(half.coverage)} of it is predicted to come out "
        f"({formatting.percent(half.low)} to {formatting.percent(half.high)}), not "
        f"{formatting.percent(one.points[0].coverage)}."
        for one in (report.attribution.forecasts if report.attribution else [])
        if one.listed
        for half in [min(one.points, key=lambda point: abs(point.clusters - one.listed / 2))]
        if half.clusters
    ]

"""What is drawn and tabled: the figures of scores, and whatever a probe has to show."""

from __future__ import annotations

from typing import Any, Literal

from auditkit.records import View
from auditkit.report.part import Part


class Histogram(Part):
    """Counts between edges; len(counts) == len(edges) - 1."""

    dataset: str
    attack: str
    view: View
    measure: str
    edges: list[float]
    counts: list[int]
    sample: int


class ScatterPoint(Part):
    embedding: float
    levenshtein: float
    length: int


class Scatter(Part):
    dataset: str
    attack: str
    view: View
    threshold: float | None
    points: list[ScatterPoint]


class CoverageCurve(Part):
    """Distinct clusters hit (as a share) after so many generations, for members and evaluation controls."""

    dataset: str
    attack: str
    view: View
    generations: list[int]
    members: list[float]
    controls: list[float]


class BandExample(Part):
    """A pair drawn at random from a 0.05 band of embedding score, as the paper's appendices show."""

    dataset: str
    attack: str
    view: View
    low: float
    high: float
    score: float
    levenshtein: float
    record: str
    generation: str
    record_text: str
    generation_text: str


class Figures(Part):
    histograms: list[Histogram]
    scatters: list[Scatter]
    coverage_curves: list[CoverageCurve]
    bands: list[BandExample]


class Column(Part):
    """A column of a probe's table. ``record``: the cells are keyed ids of records."""

    name: str
    kind: Literal["text", "count", "number", "percent", "record"] = "text"


class Table(Part):
    """A probe's table; None is a cell without a value."""

    title: str
    columns: list[Column]
    rows: list[list[str | int | float | None]]
    note: str = ""


class Series(Part):
    """One line, or one set of bars, of a chart: len(x) == len(y). Where bars are wide, x is their left edge."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float] = []
    high: list[float] = []


class ProbeChart(Part):
    """A probe's chart. ``diagonal``: what a coin would give is drawn from corner to corner."""

    title: str
    caption: str
    kind: Literal["bars", "lines", "points"]
    x_label: str
    y_label: str
    series: list[Series]
    x_log: bool = False
    y_log: bool = False
    diagonal: bool = False


class ProbeReport(Part):
    """One probe (or one attack on given records) on one dataset, as run."""

    name: str
    kind: str
    dataset: str
    parameters: dict[str, Any]
    notes: list[str]  # sentences: what the reader must know of these figures
    unscored: dict[str, int]  # reason -> records
    tables: list[Table]
    charts: list[ProbeChart]

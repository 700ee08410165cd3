"""Pairs of a record and a generation as pages show them: cut to length, differences worked out, bands filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditkit.report.base import AuditReport, BandExample, Finding
from auditkit.report.differences import Marked, Piece, differences
from auditkit.report.safe_text import safe_line
from auditkit.report.span_marks import finding_differences, span_sentence


@dataclass(frozen=True, slots=True)
class Shown:
    """One pair with its texts as marked pieces."""

    dataset: str
    view: str
    score: float
    levenshtein: float
    record: str
    generation: str
    place: str
    origin: str
    left: Marked
    right: Marked
    evidence: str = ""
    verbatim: bool = False  # both texts are the same to the letter
    measure: str = "embedding_score"
    waived: str = ""  # by whom, where somebody did


@dataclass(frozen=True, slots=True)
class Band:
    """The pairs of one band of score."""

    low: float
    high: float
    pairs: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of a text is shown; ``redacted``: there is no text, only its bar."""

    characters: int
    lines: int
    redacted: bool


def shown_findings(report: AuditReport, most: int, cut: Cut) -> list[Shown]:
    """The first ``most`` findings."""
    return [
        _shown(finding, f"{safe_line(finding.file, 80)}:{finding.line}", _origin(finding), cut)
        for finding in report.findings[:most]
    ]


def _origin(finding: Finding) -> str:
    """The attack and the generation's number in it; reports redacted by an earlier auditkit repeat the keyed id."""
    return "" if finding.generation_id == finding.generation else finding.generation_id


def shown_bands(report: AuditReport, most: int, cut: Cut) -> tuple[list[Band], bool]:
    """The bands from high scores to low, thinned evenly to about ``most`` pairs in all; and whether they were."""
    bands: dict[tuple[float, float], list[BandExample]] = {}
    for example in report.figures.bands:
        bands.setdefault((example.low, example.high), []).append(example)
    each = max(1, most // len(bands)) if bands else 0
    filled = [
        Band(low, high, tuple(_shown(example, "", example.attack, cut) for example in _spread(examples, each)))
        for (low, high), examples in sorted(bands.items(), reverse=True)
    ]
    return filled, any(len(examples) > each for examples in bands.values())


def _spread(examples: Sequence[BandExample], most: int) -> list[BandExample]:
    """At most ``most`` of the examples, spread over datasets, attacks and views as they come."""
    kept = min(most, len(examples))
    return [examples[place * len(examples) // kept] for place in range(kept)]


def _shown(pair: Finding | BandExample, place: str, origin: str, cut: Cut) -> Shown:
    left, right = _marked(pair, cut)
    return Shown(
        dataset=pair.dataset,
        view=pair.view,
        score=pair.score,
        levenshtein=pair.levenshtein,
        record=pair.record,
        generation=pair.generation,
        place=place,
        origin=origin,
        left=left,
        right=right,
        evidence=_evidence(pair, cut) if isinstance(pair, Finding) else "",
        verbatim=not cut.redacted and pair.record_text == pair.generation_text,
        measure=pair.measure if isinstance(pair, Finding) else "embedding_score",
        waived=pair.waived if isinstance(pair, Finding) else "",
    )


def _evidence(finding: Finding, cut: Cut) -> str:
    """How much is shared to the letter; who waived it."""
    waived = f"This record is {finding.waived}" if finding.waived else ""
    return " · ".join(filter(None, (span_sentence(finding, cut.redacted), waived)))


def _marked(pair: Finding | BandExample, cut: Cut) -> tuple[Marked, Marked]:
    if cut.redacted:
        return Marked((Piece(pair.record_text, True),)), Marked((Piece(pair.generation_text, True),))
    if isinstance(pair, Finding):
        return finding_differences(pair, cut.characters, cut.lines)
    return differences(pair.record_text, pair.generation_text, cut.characters, cut.lines)

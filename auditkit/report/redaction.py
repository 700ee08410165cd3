"""The report without a word of the data: keyed ids, lengths and span bars stand in place of texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from auditkit.report.base import (
    Arm,
    AuditReport,
    BandExample,
    Finding,
    ProbeChart,
    ProbeReport,
    Scatter,
    ScatterPoint,
    Table,
)
from auditkit.report.differences import Marked, differences
from auditkit.report.scored import Attribution, Removal
from auditkit.report.span_marks import finding_differences
from auditkit.report.stage_attribution import StageAttribution

CELLS = 40  # of a span bar; coarse on purpose: the lengths of words would let a guess be confirmed
CELL_CHARACTERS = 8  # at least: of a short text, a finer bar would tell which letters a known generation has right
LEAST_BARRED = 24  # characters: of a shorter text no bar is drawn, nor beside one
PLACES = 2  # decimals of a score: whoever has the model could hold a guess against all of them
FIGURES = 2  # significant figures of what a probe says of one record, for the same reason
SHARED, DIFFERS = "█", "░"
# What stands in place of a text once it is redacted: bars and small numbers, nothing else.
_BARS = re.compile(
    rf"(?:[{SHARED}{DIFFERS}]{{1,{CELLS}}}\n)?\d{{1,3}}(?:,\d{{3}}){{0,2}} characters(?:, 1?\d{{1,2}}% of them shared)?"
    r"(?:; longest shared span \d{1,3}(?:,\d{3}){0,2})?"
)
_LENGTH = re.compile(r"\d{1,3}(?:,\d{3}){0,2} characters?")
_WORD = re.compile(r"[a-z0-9_.:/@+-]{0,100}")  # a kind, a number, a digest, a path: no literal text
# Of parameters whose value may quote text, whatever it looks like.
LITERAL_NAMES = re.compile(r"prefix|text|instruction|prompt|message|marker|template|separator|literal|refusal|turn")


def redact(report: AuditReport) -> AuditReport:
    """The same report with the texts of records and generations replaced by span bars and lengths.

    What the policy, the chat template and auditkit itself say stays: none of it is data under audit. A report that
    says that it is redacted is not believed: what is no bar or length in it goes, and what is one stays as it is.
    """
    bands = [_redacted_pair(band, report.redacted) for band in report.figures.bands]
    scatters = [_redacted_scatter(scatter) for scatter in report.figures.scatters]
    figures = report.figures.model_copy(update={"bands": bands, "scatters": scatters})
    findings = [_redacted_finding(finding, report.redacted) for finding in report.findings]
    attribution = _redacted_tags(report.attribution) if report.attribution else None
    # The lock may quote texts, by the hand of whoever wrote the policy; it stands beside, signed.
    policy = report.policy.model_copy(update={"text": ""})
    parts = {"findings": findings, "figures": figures, "attribution": attribution, "policy": policy}
    parts |= {
        "arms": [_redacted_arm(arm, report.redacted) for arm in report.arms],
        "probes": [_redacted_probe(probe) for probe in report.probes],
        "stages": _coarse_stages(report.stages) if report.stages else None,
        "run": report.run.model_copy(update={"blind": ""}),  # it blinds the digests of the full reports
        "redacted": True,
    }
    return report.model_copy(update=parts)


def twins(report: AuditReport, full: str, redacted: str) -> list[tuple[str, bool]]:
    """The files that a format writes, and whether each is redacted: of a report without texts the second alone."""
    return [(redacted, True)] if report.redacted else [(full, False), (redacted, True)]


def _redacted_pair(pair: BandExample, already: bool) -> BandExample:
    barred = already and _is_barred(pair)
    texts = {} if barred else _bars(pair, *differences(pair.record_text, pair.generation_text))
    return pair.model_copy(update={**texts, **_coarse_scores(pair)})


def _is_barred(pair: Finding | BandExample) -> bool:
    return bool(_BARS.fullmatch(pair.record_text) and _BARS.fullmatch(pair.generation_text))


def _coarse_scores(pair: Finding | BandExample) -> dict[str, float]:
    return {"score": round(pair.score, PLACES), "levenshtein": round(pair.levenshtein, PLACES)}


def _redacted_scatter(scatter: Scatter) -> Scatter:
    """Scores to two places: the picture is the same."""
    points = [
        ScatterPoint(
            embedding=round(point.embedding, PLACES),
            levenshtein=round(point.levenshtein, PLACES),
            length=point.length,
        )
        for point in scatter.points
    ]
    return scatter.model_copy(update={"points": points})


def _redacted_probe(probe: ProbeReport) -> ProbeReport:
    """What is said of a record by its id, in few figures; what is said of many stays."""
    tables = [_coarse_table(table) for table in probe.tables]
    charts = [_coarse_chart(chart) if chart.kind == "points" else chart for chart in probe.charts]
    return probe.model_copy(update={"tables": tables, "charts": charts})


def _coarse_table(table: Table) -> Table:
    if not any(column.kind == "record" for column in table.columns):
        return table
    rows = [[_coarse(cell) if isinstance(cell, float) else cell for cell in row] for row in table.rows]
    return table.model_copy(update={"rows": rows})


def _coarse_chart(chart: ProbeChart) -> ProbeChart:
    series = [
        one.model_copy(update={axis: [_coarse(value) for value in getattr(one, axis)] for axis in ("x", "y")})
        for one in chart.series
    ]
    return chart.model_copy(update={"series": series})


def _coarse_stages(stages: StageAttribution) -> StageAttribution:
    """What is said of one record, in few figures."""
    records = [
        one.model_copy(
            update={
                name: [None if v is None else _coarse(v) for v in getattr(one, name)] for name in ("rises", "excess")
            }
        )
        for one in stages.records
    ]
    return stages.model_copy(update={"records": records})


def _coarse(value: float) -> float:
    return float(f"{value:.{FIGURES}g}")


def _redacted_finding(finding: Finding, already: bool) -> Finding:
    """Where its spans begin would let a guess be confirmed to the letter: bars and the longest span's length stay."""
    barred = already and _is_barred(finding)
    texts = {} if barred else _bars(finding, *finding_differences(finding))
    if finding.spans and not barred:
        texts["record_text"] += f"; longest shared span {finding.spans[0].length:,}"
    # Its number would tell, to whoever has the model, which generation to make again and hold a guess against.
    # The attack's name alone stays.
    hidden = {"spans": [], "generation_id": finding.generation_id.partition("/")[0]}
    return finding.model_copy(update={**texts, **_coarse_scores(finding), **hidden})


def _bars(pair: Finding | BandExample, record: Marked, generation: Marked) -> dict[str, str]:
    """Of a word or two, lengths alone: where they agree with a generation that is known would tell letters."""
    if min(len(pair.record_text), len(pair.generation_text)) < LEAST_BARRED:
        return {
            "record_text": f"{len(pair.record_text):,} characters",
            "generation_text": f"{len(pair.generation_text):,} characters",
        }
    return {
        "record_text": span_bar(record, len(pair.record_text)),
        "generation_text": span_bar(generation, len(pair.generation_text)),
    }


def _redacted_tags(attribution: Attribution) -> Attribution:
    """A tag is a cell of the data: its place in the table stands for it. Owner and licence are the policy's words."""
    tags = [group.name for group in attribution.groups if group.by == "tag" and group.name]
    names = {tag: f"tag {number}" for number, tag in enumerate(tags, 1)}
    groups = [
        group.model_copy(update={"name": names.get(group.name, "")}) if group.by == "tag" else group
        for group in attribution.groups
    ]
    removals = [_redacted_removal(removal, names) for removal in attribution.removals]
    return attribution.model_copy(update={"groups": groups, "removals": removals})


def _redacted_removal(removal: Removal, names: Mapping[str, str]) -> Removal:
    """Its likelihood in few figures: in full, whoever has the weights could hold a guess against it."""
    likely = removal.extraction_probability
    shown = None if likely is None else _coarse(likely)
    tags = [names[tag] for tag in removal.tags if tag in names]
    return removal.model_copy(update={"tags": tags, "extraction_probability": shown})


def _redacted_arm(arm: Arm, already: bool) -> Arm:
    """Parameters may quote literal text (a prefix, a marker, an instruction): its length stands for it."""
    parameters = {name: _lengths(value, name, already) for name, value in arm.parameters.items()}
    return arm.model_copy(update={"parameters": parameters})


def _lengths(value: Any, name: str, already: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _lengths(item, f"{name}.{key}", already) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_lengths(item, name, already) for item in value]
    if already and isinstance(value, str) and _LENGTH.fullmatch(value):
        return value
    if not isinstance(value, str) or (_WORD.fullmatch(value) and not LITERAL_NAMES.search(name)):
        return value
    return f"{len(value):,} character{'' if len(value) == 1 else 's'}"


def span_bar(marked: Marked, length: int) -> str:
    """Where along a text of ``length`` characters it agrees with the other, in CELLS steps, and how long it is."""
    flags = [piece.same for piece in marked.pieces for _ in piece.text]
    count = min(CELLS, max(1, len(flags) // CELL_CHARACTERS))
    edges = [step * len(flags) // count for step in range(count + 1)] if flags else []
    cells = [flags[low : max(high, low + 1)] for low, high in pairwise(edges)]
    bar = "".join(SHARED if 2 * sum(cell) >= len(cell) else DIFFERS for cell in cells)
    return f"{bar}\n{length:,} characters, {round(marked.shared, 1):.0%} of them shared".strip()

"""The report without a word of the data: keyed ids, lengths and span bars stand in place of texts."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

from auditkit.report.base import AuditReport, BandExample, Finding
from auditkit.report.differences import Marked, differences

CELLS = 40  # of a span bar; coarse on purpose: the lengths of words would let a guess be confirmed
SHARED, DIFFERS = "█", "░"

Pair = TypeVar("Pair", Finding, BandExample)


def redact(report: AuditReport) -> AuditReport:
    """The same report with the texts of records and generations replaced by span bars and lengths.

    What the policy, the chat template and auditkit itself say stays: none of it is data under audit.
    """
    figures = report.figures.model_copy(update={"bands": [_redacted(band) for band in report.figures.bands]})
    findings = [_redacted(finding) for finding in report.findings]
    # The lock holds plain digests of the data (an oracle for a guess) and may quote texts; it stands beside, signed.
    policy = report.policy.model_copy(update={"text": ""})
    return report.model_copy(update={"findings": findings, "figures": figures, "policy": policy})


def _redacted(pair: Pair) -> Pair:
    record, generation = differences(pair.record_text, pair.generation_text)
    texts = {
        "record_text": span_bar(record, len(pair.record_text)),
        "generation_text": span_bar(generation, len(pair.generation_text)),
    }
    return pair.model_copy(update=texts)


def span_bar(marked: Marked, length: int) -> str:
    """Where along a text of ``length`` characters it agrees with the other, in CELLS steps, and how long it is."""
    flags = [piece.same for piece in marked.pieces for _ in piece.text]
    edges = [step * len(flags) // CELLS for step in range(CELLS + 1)] if flags else []
    cells = [flags[low : max(high, low + 1)] for low, high in pairwise(edges)]
    bar = "".join(SHARED if 2 * sum(cell) >= len(cell) else DIFFERS for cell in cells)
    return f"{bar}\n{length:,} characters, {marked.shared:.0%} of them shared".strip()

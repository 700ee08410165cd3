"""The report without a word of the data: keyed ids, lengths and span bars stand in place of texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from auditkit.report.base import Arm, AuditReport, BandExample, Finding
from auditkit.report.differences import Marked, differences
from auditkit.report.scored import Attribution
from auditkit.report.span_marks import finding_differences

CELLS = 40  # of a span bar; coarse on purpose: the lengths of words would let a guess be confirmed
SHARED, DIFFERS = "█", "░"
_WORD = re.compile(r"[a-z0-9_.:/@+-]{0,100}")  # a kind, a number, a digest, a path: no literal text
_LITERAL = re.compile(r"prefix|text|instruction|prompt|message|marker|template|separator|literal|refusal|turn")


def redact(report: AuditReport) -> AuditReport:
    """The same report with the texts of records and generations replaced by span bars and lengths.

    What the policy, the chat template and auditkit itself say stays: none of it is data under audit. A report that is
    redacted already is given back as it is.
    """
    if report.redacted:
        return report
    figures = report.figures.model_copy(update={"bands": [_redacted_pair(band) for band in report.figures.bands]})
    findings = [_redacted_finding(finding) for finding in report.findings]
    attribution = _redacted_tags(report.attribution) if report.attribution else None
    # The lock holds plain digests of the data (an oracle for a guess) and may quote texts; it stands beside, signed.
    policy = report.policy.model_copy(update={"text": ""})
    arms = [_redacted_arm(arm) for arm in report.arms]
    parts = {"findings": findings, "figures": figures, "attribution": attribution, "policy": policy, "arms": arms}
    parts |= {"redacted": True}
    return report.model_copy(update=parts)


def _redacted_pair(pair: BandExample) -> BandExample:
    return pair.model_copy(update=_bars(pair, *differences(pair.record_text, pair.generation_text)))


def _redacted_finding(finding: Finding) -> Finding:
    """Where its spans begin would let a guess be confirmed to the letter: bars and the longest span's length stay."""
    texts = _bars(finding, *finding_differences(finding))
    if finding.spans:
        texts["record_text"] += f"; longest shared span {finding.spans[0].length:,}"
    return finding.model_copy(update={**texts, "spans": []})


def _bars(pair: Finding | BandExample, record: Marked, generation: Marked) -> dict[str, str]:
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
    removals = [
        removal.model_copy(update={"tags": [names[tag] for tag in removal.tags if tag in names]})
        for removal in attribution.removals
    ]
    return attribution.model_copy(update={"groups": groups, "removals": removals})


def _redacted_arm(arm: Arm) -> Arm:
    """Parameters may quote literal text (a prefix, a marker, an instruction): its length stands for it."""
    return arm.model_copy(
        update={"parameters": {name: _lengths(value, name) for name, value in arm.parameters.items()}}
    )


def _lengths(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _lengths(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_lengths(item, name) for item in value]
    if not isinstance(value, str) or (_WORD.fullmatch(value) and not _LITERAL.search(name)):
        return value
    return f"{len(value):,} character{'' if len(value) == 1 else 's'}"


def span_bar(marked: Marked, length: int) -> str:
    """Where along a text of ``length`` characters it agrees with the other, in CELLS steps, and how long it is."""
    flags = [piece.same for piece in marked.pieces for _ in piece.text]
    edges = [step * len(flags) // CELLS for step in range(CELLS + 1)] if flags else []
    cells = [flags[low : max(high, low + 1)] for low, high in pairwise(edges)]
    bar = "".join(SHARED if 2 * sum(cell) >= len(cell) else DIFFERS for cell in cells)
    return f"{bar}\n{length:,} characters, {marked.shared:.0%} of them shared".strip()

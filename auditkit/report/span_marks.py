"""The stretches that a record and a generation share to the letter, laid over what is shown of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby, pairwise

from auditkit.report.base import Finding
from auditkit.report.differences import Marked, Piece, differences
from auditkit.report.formatting import percent


def finding_differences(finding: Finding, limit: int | None = None, lines: int | None = None) -> tuple[Marked, Marked]:
    """Both texts of a finding as ``differences`` cuts them, with the shared spans on top."""
    bounds = {} if limit is None else {"limit": limit}
    record, generation = differences(finding.record_text, finding.generation_text, lines=lines, **bounds)
    return (
        with_spans(record, [(span.record_start, span.length) for span in finding.spans]),
        with_spans(generation, [(span.generation_start, span.length) for span in finding.spans]),
    )


def with_spans(marked: Marked, spans: Sequence[tuple[int, int]]) -> Marked:
    """The same text with each span (start, length) as one piece of its own; what lies outside the text is left out."""
    starts, lengths = zip(*sorted(spans), strict=True) if spans else ((), ())
    text = "".join(piece.text for piece in marked.pieces)
    at = list(accumulate((len(piece.text) for piece in marked.pieces), initial=0))
    ends = (start + length for start, length in zip(starts, lengths, strict=True))
    cuts = sorted({edge for edge in (*at, *starts, *ends) if 0 <= edge <= len(text)})

    def kind(stretch: tuple[int, int]) -> tuple[int, bool]:
        """Which span a stretch lies in, -1 for none, and whether the other text has it too."""
        span = bisect_right(starts, stretch[0]) - 1
        if span >= 0 and stretch[1] <= starts[span] + lengths[span]:
            return span, True
        return -1, marked.pieces[bisect_right(at, stretch[0]) - 1].same

    return Marked(tuple(_pieces(text, groupby(pairwise(cuts), kind))), marked.left_out)


def _pieces(text: str, groups: Iterable[tuple[tuple[int, bool], Iterable[tuple[int, int]]]]) -> Iterable[Piece]:
    for (span, same), stretches in groups:
        edges = list(stretches)
        yield Piece(text[edges[0][0] : edges[-1][1]], same, span >= 0)


def span_sentence(finding: Finding, redacted: bool = False) -> str:
    """As in "Longest shared span: 143 of 310 characters; 41 of 70 tokens"; empty where it was not worked out.

    ``redacted``: the texts are bars, and their own line tells the characters.
    """
    if finding.longest_match is None:
        return ""
    tokens = f"{finding.longest_match_tokens:,} of {finding.record_tokens:,} tokens ({percent(finding.longest_match)})"
    if redacted:
        return f"Longest run of shared tokens: {tokens}"
    if not finding.spans:
        return f"No shared span is long enough to be marked; longest run: {tokens}"
    characters = f"{finding.spans[0].length:,} of {len(finding.record_text):,} characters"
    return f"Longest shared span: {characters}; {tokens}"

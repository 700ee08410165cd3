"""A comparison as Markdown for a pull request: headline, the gates' figures, records, what is not the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from auditkit.report import diff_words as words
from auditkit.report.diff import Compared, Diff, RecordsMoved
from auditkit.report.safe_text import safe_line

LONGEST = 300  # characters of a cell
MOST_UNLIKE = 60
_ACTIVE = re.compile(r"([\\`*_{}\[\]<>()#!|~@&])|(?<=:)(?=/)|(?<=w)(?=\.)")  # what Markdown or a forge would act on


def markdown(diff: Diff) -> str:
    """The page; whatever comes from the runs is escaped."""
    parts = [
        f"## {words.HEADLINE_SIGNS[diff.outcome]} {words.HEADLINES[diff.outcome]}",
        _safe(diff.sentence, 2000),
        _table(("", "first", "second"), words.runs_in_words(diff)),
        "### Figures of the gates",
        _table(("Figure", "First", "Second", "Change", "95 % interval", "Result"), map(_cells, diff.gate)),
        "\n".join(f"- {_safe(sentence, 600)}" for sentence in diff.method),
    ]
    if diff.records:
        parts += ["### Records", "\n".join(f"- {_safe(_record_line(moved), 400)}" for moved in diff.records)]
    if diff.not_same:
        rows = [(one.what, one.before, one.after, one.consequence) for one in diff.not_same[:MOST_UNLIKE]]
        parts += ["### What is not the same", _table(("", "first", "second", "what follows"), rows)]
    return "\n\n".join(parts) + "\n"


def _cells(line: Compared) -> tuple[str, ...]:
    before, after = words.figures(line)
    moved = words.change(line.metric, line.difference.value) if line.difference else "–"
    gate = f"; gate: {words.verdicts(line)}" if line.gate and words.verdicts(line) else ""
    result = f"{words.SIGNS[line.movement]} {words.word(line)}; {words.basis(line)}{gate}"
    return words.what(line), before, after, moved, words.ends(line.metric, line.difference), result


def _record_line(moved: RecordsMoved) -> str:
    if moved.reason:
        return f"{moved.dataset}: not compared one by one: {moved.reason}"
    return (
        f"{moved.dataset}: {moved.before:,} of {moved.records:,} leaked, then {moved.after:,}: "
        f"{moved.appeared:,} newly, {moved.vanished:,} no longer"
    )


def _table(heading: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [" | ".join(heading), " | ".join("---" for _ in heading)]
    lines += [" | ".join(_safe(cell, LONGEST) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _safe(text: str, limit: int) -> str:
    return _ACTIVE.sub(r"\\\1", safe_line(text, limit))

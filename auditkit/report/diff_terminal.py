"""A comparison on the terminal: 80 columns, good without colour, nothing of it read as markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from auditkit.report import diff_words as words
from auditkit.report.diff import Compared, Diff, Movement, NotSame, RecordsMoved
from auditkit.report.safe_text import safe_line

WIDEST = 110
MOST_GATE, MOST_OTHERS, MOST_RECORDS, MOST_UNLIKE = 40, 8, 10, 30
STYLES: dict[Movement, str] = {"rose": "bold red", "fell": "bold green", "rose_alone": "yellow", "fell_alone": "yellow"}
HEADLINE_STYLES = {"rose": "bold red", "fell": "bold green", "level": "bold green", "incomparable": "bold yellow"}


def render_diff(diff: Diff, width: int) -> RenderableType:
    """Headline, the gates' figures, what else moved, scores, records, and what is not the same."""
    parts = [Rule(style="dim"), _headline(diff), _indented(diff.sentence), Text(), _runs(diff)]
    parts += _section("Figures of the gates", _lines(diff.gate, MOST_GATE))
    if any(line.decides and line.movement.endswith("_alone") for line in diff.gate):
        parts.append(_indented(words.CORRECTED, "dim"))
    parts += _section("Other figures, uncorrected", _others(diff))
    parts += _section("Scores, record by record (second run minus first)", _scores(diff))
    parts += _section("Records", [line for moved in diff.records for line in _records(moved)])
    parts += _section("What is not the same", _unlike(diff.not_same))
    return Constrain(Group(*parts), min(width, WIDEST))


def _headline(diff: Diff) -> Text:
    sign, word = words.HEADLINE_SIGNS[diff.outcome], words.HEADLINES[diff.outcome]
    headline = Text(f"{sign} {word.upper()}", HEADLINE_STYLES[diff.outcome])
    return headline.append(f"  {safe_line(diff.before.policy, 60)} → {safe_line(diff.after.policy, 60)}", "bold")


def _indented(text: str, style: str = "") -> Padding:
    return Padding(Text(safe_line(text, 1500), style), (0, 0, 0, 2))


def _section(heading: str, lines: Sequence[RenderableType]) -> list[RenderableType]:
    return [Text(), Text(heading, "bold"), *lines] if lines else []


def _runs(diff: Diff) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    table.add_row("", Text("first", "dim"), Text("second", "dim"))
    for name, before, after in words.runs_in_words(diff):
        table.add_row(name, Text(safe_line(before)), Text(safe_line(after)))
    return Padding(table, (0, 0, 0, 2))


def _lines(lines: Sequence[Compared], most: int) -> list[RenderableType]:
    shown: list[RenderableType] = [_line(line) for line in lines[:most]]
    return shown + _more(len(lines) - most, "figures")


def _more(count: int, what: str) -> list[RenderableType]:
    return [_indented(f"and {count:,} more {what}, in --json", "dim")] if count > 0 else []


def _line(line: Compared) -> RenderableType:
    """What it is; both figures and what lies between; of the gates' also what that rests on."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=2)
    table.add_column(width=14)
    table.add_column(ratio=1)
    marked = Text(f"{words.SIGNS[line.movement]} {words.word(line)}", STYLES.get(line.movement, ""))
    table.add_row("", marked, Text(safe_line(words.what(line), 200)))
    table.add_row("", "", _figures(line))
    if not line.gate:
        return table
    for said in filter(None, (words.verdicts(line), words.basis(line))):
        table.add_row("", "", Text(safe_line(said, 300), "dim"))
    return table


def _figures(line: Compared) -> Text:
    before, after = words.figures(line)
    shown = Text(f"{before} → {after}", "bold")
    if line.difference is None:
        return shown
    moved = words.change(line.metric, line.difference.value)
    shown.append(f"  {moved}, 95 % interval {words.ends(line.metric, line.difference)}", "not bold")
    return shown.append(f"; {words.corrected(line)}", "dim not bold") if line.gate and line.p is not None else shown


def _others(diff: Diff) -> list[RenderableType]:
    moved = [line for line in diff.others if line.movement.endswith("_alone")]
    lacking = [line for line in diff.others if line.movement == "not_compared"]
    shown = _lines(moved, MOST_OTHERS)
    level = len(diff.others) - len(moved) - len(lacking)
    rest = f"{level} other figures show no difference, {len(lacking)} could not be compared; all are in --json."
    return [*shown, _indented(rest, "dim")] if diff.others else []


def _scores(diff: Diff) -> list[RenderableType]:
    shown: list[RenderableType] = []
    for moved in diff.scores:
        shown.append(_indented(words.shift_name(moved)))
        if moved.members is None:
            shown.append(_indented(f"  {moved.note}", "dim"))
            continue
        members, controls, excess = (
            words.shift(moved.metric, one) for one in (moved.members, moved.controls, moved.excess)
        )
        shown.append(_indented(f"  members {members}; {moved.rises:,} of {moved.records:,} records rose"))
        shown.append(_indented(f"  controls {controls}; members beyond controls {excess}"))
    return shown


def _records(moved: RecordsMoved) -> Iterator[RenderableType]:
    of = f"{moved.dataset} ({moved.view})"
    if moved.reason:
        yield _indented(f"{of}: not compared one by one: {moved.reason}", "dim")
        return
    yield _indented(
        f"{of}: {moved.before:,} of {moved.records:,} leaked, then {moved.after:,}; "
        f"{moved.appeared:,} newly, {moved.vanished:,} no longer"
    )
    for sign, total, listed in (("+", moved.appeared, moved.newly), ("−", moved.vanished, moved.no_longer)):
        for one in listed[:MOST_RECORDS]:
            scores = f"score {one.score_before:.3f} → {one.score_after:.3f}"
            yield _indented(f"  {sign} {words.record_name(one)}  {scores}")
        yield from _more(total - min(len(listed), MOST_RECORDS), "records")


def _unlike(found: Sequence[NotSame]) -> list[RenderableType]:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=2)
    table.add_column(ratio=1)
    for one in found[:MOST_UNLIKE]:
        line = Text(f"{safe_line(one.what, 100)}: {safe_line(one.before, 120)} → {safe_line(one.after, 120)}")
        table.add_row("", line.append(f"  {safe_line(one.consequence, 300)}", "dim"))
    return (
        [table, *_more(len(found) - MOST_UNLIKE, "things")] if found else [_indented("Nothing: both audits are alike.")]
    )

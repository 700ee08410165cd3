"""What the terminal shows: the one closing screen of a run, and a pair side by side. Escaped; good without colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from auditkit.report import formatting, history_words, wording
from auditkit.report.arms_terminal import render_arms
from auditkit.report.base import AuditReport, BandExample, Finding, RuleResult
from auditkit.report.definitions import title
from auditkit.report.differences import Marked, differences
from auditkit.report.safe_text import left_out, safe_line, safe_text
from auditkit.report.shown_removal import removal_sentences
from auditkit.report.shown_stages import stage_sentences
from auditkit.report.shown_waivers import waiver_lines
from auditkit.report.shown_worth import HEADING, worth_sentences
from auditkit.report.span_marks import finding_differences, span_sentence

STYLES = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow", "waived": "dim", "not_viable": "dim"}
MOST_RULES = 12
WIDEST = 110
LONGEST_SHOWN = 6_000  # characters of a text of a pair


def render_screen(report: AuditReport, width: int, files: Sequence[Path] = ()) -> RenderableType:
    """The closing screen: verdict, each rule with estimate, interval and limit, mitigations, cautions, reports.

    ``width`` is the terminal's, in columns; ``files`` are the written reports. Nothing in it is read as markup.
    """
    parts: list[RenderableType] = [
        Rule(style="dim"),
        _headline(report),
        _indented(wording.verdict_sentence(report)),
        *([_indented(said, "dim")] if (said := history_words.answer(report)) else []),
        Text(),
    ]
    parts += [_rule(rule) for rule in _gravest_first(report)[:MOST_RULES]]
    if len(report.verdict.rules) > MOST_RULES:
        parts.append(_indented(f"and {len(report.verdict.rules) - MOST_RULES} more rules, in the reports", "dim"))
    parts += render_arms(report, min(width, WIDEST))
    parts += _listed(HEADING, worth_sentences(report))
    parts += _listed("Training stages", stage_sentences(report))
    parts += _listed("What removing would leave", removal_sentences(report))
    parts += _listed("Cautions", [*report.policy.weaker_than_preset, *report.verdict.cautions])
    parts += _listed("Waivers", waiver_lines(report))
    parts += _listed("What would settle it", wording.what_would_settle(report))
    return Group(Constrain(Group(*parts), min(width, WIDEST)), *_files(files))


def _gravest_first(report: AuditReport) -> list[RuleResult]:
    order = ("fail", "inconclusive", "not_viable", "waived", "pass")
    return sorted(report.verdict.rules, key=lambda rule: order.index(rule.outcome))


def _headline(report: AuditReport) -> Text:
    kind = wording.outcome_kind(report)
    style = STYLES["inconclusive" if kind == "waived" else kind]
    headline = Text(f"{wording.OUTCOME_SIGNS[kind]} {wording.outcome_words(report).upper()}", style)
    headline.append(f"  {safe_line(report.policy.name, 80)}", "bold")
    for mark in wording.signature_labels(report):
        headline.append(f"  [{safe_line(mark, 40)}]", "bold")
    return headline


def _indented(text: str, style: str = "", by: int = 2) -> Padding:
    return Padding(Text(safe_line(text, 1000), style), (0, 0, 0, by))


def _rule(rule: RuleResult) -> RenderableType:
    """Two lines a rule: what was measured on what; the figures."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=2)
    table.add_column(width=14)
    table.add_column(ratio=1)
    style = STYLES[rule.outcome]
    what = f"{title(rule.metric)} of {rule.attack} on {rule.dataset} ({rule.view})"
    table.add_row("", Text(_marked_word(rule), style), Text(safe_line(what, 200)))
    figures = Text(formatting.estimate_value(rule.estimate), "bold")
    limit = formatting.value(rule.metric, rule.limit)
    figures.append(f"  95 % interval {formatting.interval(rule.estimate)}, limit {limit}", "not bold")
    table.add_row("", "", figures)
    if rule.outcome != "pass" and rule.reason:
        table.add_row("", "", Text(safe_line(rule.reason, 300), "dim"))
    return table


def _marked_word(rule: RuleResult) -> str:
    return f"{wording.OUTCOME_SIGNS[rule.outcome]} {wording.OUTCOME_WORDS[rule.outcome].lower()}"


def _listed(heading: str, sentences: Sequence[str]) -> list[RenderableType]:
    if not sentences:
        return []
    table = Table.grid(padding=(0, 1))
    table.add_column(width=2)
    table.add_column(width=1)
    table.add_column(ratio=1)
    for sentence in sentences:
        table.add_row("", "-", Text(safe_line(sentence, 500)))
    return [Text(), Text(heading, "bold"), table]


def _files(files: Sequence[Path]) -> list[RenderableType]:
    """Paths on lines of their own, relative where that is shorter; too long a one is folded, with nothing put in."""
    if not files:
        return []
    lines = [Text(safe_line(_shortest(file), 1000), overflow="fold") for file in files]
    return [Text(), Text("Reports", "bold"), *lines]


def _shortest(file: Path) -> str:
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def show_pair(
    record_text: str, generation_text: str, titles: tuple[str, str] = ("Record", "Generation")
) -> RenderableType:
    """Record and generation side by side; what differs stands between ‹ and › (and is underlined where that works)."""
    shown = differences(record_text, generation_text, LONGEST_SHOWN)
    return _side_by_side(*shown, titles, "‹ › differs")


def show_leak(leak: Finding | BandExample) -> RenderableType:
    """The pair behind a finding, spans shared to the letter between ⟦ and ⟧; of a band, the differences alone."""
    if not isinstance(leak, Finding):
        return show_pair(leak.record_text, leak.generation_text)
    shown = finding_differences(leak, LONGEST_SHOWN)
    pair = _side_by_side(*shown, ("Record", "Generation"), "‹ › differs, ⟦ ⟧ is the same to the letter")
    sentence = span_sentence(leak)
    return Group(pair, Text(sentence)) if sentence else pair


def _side_by_side(record: Marked, generation: Marked, titles: tuple[str, str], legend: str) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, show_edge=False)
    for heading in titles:
        table.add_column(Text(safe_line(heading, 100)), ratio=1, overflow="fold")
    table.add_row(_marked_text(record), _marked_text(generation))
    shared = f"{record.shared:.0%} of the record and {generation.shared:.0%} of the generation are shared; {legend}"
    return Group(table, Text(), Text(shared, "dim"))


def _marked_text(marked: Marked) -> Text:
    text = Text()
    for piece in marked.pieces:
        shown = safe_text(piece.text)
        if piece.span:
            text.append(f"⟦{shown}⟧", "bold")
        else:
            text.append(shown) if piece.same else text.append(f"‹{shown}›", "underline")
    if marked.left_out:
        text.append(f" {left_out(marked.left_out)}", "dim")
    return text

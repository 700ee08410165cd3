"""The lines of a comparison in words: what moved, by how much, and what that rests on. No figure is made here."""

from __future__ import annotations

from itertools import zip_longest

from auditkit.records import Estimate
from auditkit.report import formatting
from auditkit.report.base import RuleOutcome
from auditkit.report.definitions import title
from auditkit.report.diff import Compared, ComparedRun, Diff, DiffOutcome, MovedRecord, Movement, ScoreShift
from auditkit.report.formatting import NBSP

SIGNS: dict[Movement, str] = {
    "rose": "▲",
    "fell": "▼",
    "rose_alone": "△",
    "fell_alone": "▽",
    "level": "=",
    "not_compared": "·",
}
# Of the gate's figures, where more is more leakage; others only go up and down.
GATE_WORDS: dict[Movement, str] = {
    "rose": "rose",
    "fell": "fell",
    "rose_alone": "rose?",
    "fell_alone": "fell?",
    "level": "level",
    "not_compared": "not compared",
}
OTHER_WORDS: dict[Movement, str] = {**GATE_WORDS, "rose_alone": "higher", "fell_alone": "lower"}
HEADLINES: dict[DiffOutcome, str] = {
    "rose": "Leakage rose",
    "fell": "Leakage fell",
    "level": "Leakage did not rise",
    "incomparable": "Not comparable",
}
HEADLINE_SIGNS: dict[DiffOutcome, str] = {"rose": "▲", "fell": "▼", "level": "●", "incomparable": "◆"}
CORRECTED = "rose? and fell?: the line's own interval lies beyond 0, but not after correction for all comparisons."


def what(line: Compared) -> str:
    """What a line is of."""
    name = title(line.metric)
    by = f" of {line.attack}" if line.attack else ""
    at = f" at {line.threshold:g}" if line.threshold is not None else ""
    arm = f", arm {line.arm}" if line.arm else ""
    return f"{name[:1].upper()}{name[1:]}{by} on {line.dataset} ({line.view}){at}{arm}"


def word(line: Compared) -> str:
    """Whether it moved: of the gate's figures in terms of leakage."""
    if line.gate and not line.decides and line.movement in ("rose_alone", "fell_alone"):
        return OTHER_WORDS[line.movement]
    return (GATE_WORDS if line.gate else OTHER_WORDS)[line.movement]


def change(metric: str, amount: float | None) -> str:
    """A difference with its sign: shares in points."""
    if amount is None:
        return formatting.UNDEFINED
    if formatting.is_share(metric):
        return formatting.points(amount)
    shown = formatting.number(amount, 3)
    return f"+{shown}" if amount > 0 else shown


def ends(metric: str, found: Estimate | None) -> str:
    """The interval of a difference, "–" where there is none."""
    if found is None or found.low is None or found.high is None:
        return "–"
    low, high = (change(metric, end).replace(f"{NBSP}points", "") for end in (found.low, found.high))
    return f"{low} to {high}"


def line_in_words(line: Compared) -> str:
    """A line as part of a sentence."""
    name = what(line)
    moved = change(line.metric, line.difference.value if line.difference else None)
    return f"{name[:1].lower()}{name[1:]} by {moved} (95{NBSP}% interval {ends(line.metric, line.difference)})"


def figures(line: Compared) -> tuple[str, str]:
    """Both runs' figures."""
    return _figure(line.before), _figure(line.after)


def _figure(estimate: Estimate | None) -> str:
    return "–" if estimate is None else formatting.estimate_value(estimate)


def basis(line: Compared) -> str:
    """What the difference rests on."""
    if line.pairing == "none":
        return line.why
    how = "paired by generation" if line.pairing == "paired" else "independent"
    said = f"{how}: {line.why}" if line.why else how
    return said if line.decides or not line.gate else f"{said}; it decides nothing"


def corrected(line: Compared) -> str:
    """The p-value, corrected where the line decides; "" where there is none."""
    if line.p is None:
        return ""
    if line.adjusted_p is None:
        return f"p {_p(line.p)}"
    return f"p {_p(line.p)}, corrected {_p(line.adjusted_p)}"


def _p(value: float) -> str:
    return "under 0.0001" if value < 1e-4 else f"{value:.2g}"


def verdicts(line: Compared) -> str:
    """What either gate says of the figure, where that changed; "" where it did not."""
    before, after = line.outcome_before, line.outcome_after
    return "" if before == after else f"{_outcome(before)} → {_outcome(after)}"


def _outcome(outcome: RuleOutcome | None) -> str:
    return "no rule" if outcome is None else outcome.replace("_", " ")


def shift(metric: str, found: Estimate | None) -> str:
    """A shift of scores with its interval."""
    if found is None or found.value is None:
        return "–"
    return f"{change(metric, found.value)} ({ends(metric, found)})"


def shift_name(moved: ScoreShift) -> str:
    """What a shift is of."""
    return f"{title(moved.metric) if moved.metric else moved.probe} on {moved.dataset}"


def record_name(moved: MovedRecord) -> str:
    """A record by its keyed id, or by its place in the dataset where neither report names it."""
    return moved.record or f"record {moved.index:,} (counted from 0)"


def _verdict(run: ComparedRun) -> str:
    if not run.waived:
        return run.outcome
    return f"{run.outcome}, with {run.waived} failed rule{'' if run.waived == 1 else 's'} waived"


def runs_in_words(diff: Diff) -> list[tuple[str, str, str]]:
    """(name, before, after) of what is said of both runs."""
    first, second = diff.before, diff.after
    rows = [
        ("Run", first.id, second.id),
        ("Policy", first.policy, second.policy),
        ("Finished", formatting.moment(first.finished), formatting.moment(second.finished)),
        ("Verdict", _verdict(first), _verdict(second)),
        ("Arm", first.arm, second.arm),
        ("Model", first.model, second.model),
        ("Weights, SHA-256", first.model_sha256[:16], second.model_sha256[:16]),
        ("Evidence", first.integrity, second.integrity),
    ]
    pairs = zip_longest(first.notes, second.notes, fillvalue="")
    return rows + [("" if number else "Note", *pair) for number, pair in enumerate(pairs)]

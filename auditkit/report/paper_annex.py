"""The evidence annex as data: every leaked record side by side, for a report on paper that prints only the first."""

from __future__ import annotations

import re
import unicodedata
from math import ceil
from typing import Any

from auditkit.report import wording
from auditkit.report.base import AuditReport
from auditkit.report.copies import copy_sentence
from auditkit.report.definitions import title
from auditkit.report.differences import Marked, Piece
from auditkit.report.direction import direction, runs_right_to_left, text_of
from auditkit.report.formatting import count, fixed
from auditkit.report.pairs import Cut, Shown, shown_findings
from auditkit.report.redaction import redact
from auditkit.report.safe_text import left_out, safe_line, safe_text

FULL, REDACTED = "report.annex.pdf", "report.redacted.annex.pdf"
MOST = 2500  # pairs: six hundred pages, for which Typst takes 12 s and 1.5 GB
CHARACTERS, LINES = 1000, 24  # of a text
TOGETHER = 50  # pairs under one heading, which is a bookmark
BREAK = "\x1f"  # where a long word may break; no text holds it, safe_text makes a sign of it
_STRETCH = 8  # characters of a long word between two places where it may break
_COLUMN = 46  # letters in a line, about
_PAGE = 44  # lines that a pair may have and still be kept on one page
# In scripts whose lines may break between any two letters there are no long words.
_LONG_WORD = re.compile(r"[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]{25,}")
_UNMARKED = "Not marked: a text that runs right to left is printed as one piece. "


def needs_annex(report: AuditReport, printed: int) -> bool:
    """Whether a report on paper that prints this many findings leaves any to the annex."""
    return len(report.findings) > printed


def annex_sentence(report: AuditReport, printed: int, redacted: bool) -> str:
    """Where the findings are that a report on paper does not print; "" where it prints all of them."""
    held = len(report.findings)
    if not needs_annex(report, printed):
        return ""
    name = REDACTED if redacted else FULL
    kind, data = ("redacted ", "audit.redacted.json") if redacted else ("", "audit.json")
    if held <= MOST:
        return f"All {count(held)}, these among them and under the same numbers, are in {name}."
    return (
        f"The first {count(MOST)}, these among them and under the same numbers, are in {name}; "
        f"{count(held - MOST)} more are in the {kind}HTML report and in {data}."
    )


def annex(report: AuditReport, printed: int, redacted: bool) -> dict[str, Any]:
    """What the annex shows, as its template (annex.typ) takes it: texts made harmless, and nothing but texts.

    Args:
        printed: how many findings the report itself prints.
        redacted: without a word of the data.
    """
    shown = redact(report) if redacted else report
    pairs = shown_findings(shown, MOST, Cut(CHARACTERS, LINES, redacted))
    heading = f"Evidence annex: {shown.policy.name}{' (redacted)' if redacted else ''}"
    return {
        "title": safe_line(heading),
        "author": safe_line(shown.release.organisation or shown.release.auditor or "not named"),
        "description": safe_line(f"{wording.outcome_words(shown)}: {shown.policy.name}"),
        "keywords": ["leakage audit", "alignment data", "memorisation", "evidence"],
        "finished": safe_line(shown.run.finished),
        "sort": "EVIDENCE ANNEX OF A LEAKAGE AUDIT",
        "policy": safe_line(shown.policy.name),
        "run": safe_line(shown.run.id),
        "footer": safe_line(f"Evidence annex of a leakage audit by auditkit {shown.run.auditkit_version}"),
        "labels": [safe_line(label, 60) for label in wording.labels(shown, redacted)],
        "sentences": [_printable(sentence) for sentence in _sentences(shown, len(pairs), printed, redacted)],
        "facts": [[name, _printable(fact)] for name, fact in _facts(shown, redacted)],
        "legend": _legend(redacted),
        "fonts": "",
        "redacted": redacted,
        "groups": _groups(pairs, redacted),
    }


def _sentences(report: AuditReport, held: int, printed: int, redacted: bool) -> list[str]:
    belongs = "report.redacted.pdf" if redacted else "report.pdf"
    which = f"the {count(held)} with the best evidence" if held < report.findings_total else f"all {count(held)}"
    sentences = [
        f"This annex belongs to {belongs} of the run {report.run.id}, and says nothing that is not explained there: "
        "the verdict, the method, the definitions and the limits of the audit are in the report.",
        f"{wording.found_sentence(report)} Here are {which}, each with the generation that matched it best; the first "
        f"{count(printed)} are in the report too, under the same numbers.",
        wording.choice_sentence(report),
        copy_sentence(report),
    ]
    return [sentence for sentence in sentences if sentence]


def _facts(report: AuditReport, redacted: bool) -> list[tuple[str, str]]:
    return [
        ("Belongs to", "report.redacted.pdf" if redacted else "report.pdf"),
        ("Run", report.run.id),
        ("Policy", f"{report.policy.name}, SHA-256 {report.policy.sha256}"),
        *(("Model", f"{model.source}, SHA-256 {model.sha256}") for model in report.models if model.role == "candidate"),
        ("Outcome", wording.outcome_words(report)),
        ("Auditor", report.release.auditor or "not named in the policy"),
        ("Signature", wording.signature_sentence(report)),
    ]


def _legend(redacted: bool) -> str:
    if redacted:
        return (
            "This is the redacted annex: no word of a record or a generation is in it. In their place stand keyed ids, "
            "lengths and bars. The full annex, kept by the owner of the data, shows the texts."
        )
    return (
        f"A text that both have to the letter is printed once, on the dark shade. Control and invisible characters are "
        f"shown as signs such as ⟨ESC⟩ or ⟨U+202E⟩. Texts of more than {count(CHARACTERS)} characters or {LINES} lines "
        "are cut where it says so; the whole of them is in audit.json."
    )


def _groups(pairs: list[Shown], redacted: bool) -> list[dict[str, Any]]:
    numbered = [_pair(number, pair, redacted) for number, pair in enumerate(pairs, 1)]
    starts = range(0, len(numbered), TOGETHER)
    return [
        {
            "title": f"Leaked records {count(start + 1)} to {count(min(start + TOGETHER, len(numbered)))}",
            "pairs": numbered[start : start + TOGETHER],
        }
        for start in starts
    ]


def _pair(number: int, pair: Shown, redacted: bool) -> dict[str, Any]:
    right_to_left = runs_right_to_left(pair.left) or runs_right_to_left(pair.right)
    unmarked = not redacted and not pair.verbatim and right_to_left
    sides = [_side(pair.left)] if pair.verbatim else [_side(pair.left), _side(pair.right)]
    return {
        "head": _printable(f"{number}   {pair.dataset}, {pair.view} view:", line=True),
        "scores": _printable(_scores(pair), line=True),
        "ids": [_printable(words, line=True) for words in _ids(pair)],
        "sides": sides,
        "verbatim": pair.verbatim,
        "marked": not unmarked,
        "evidence": _printable((_UNMARKED if unmarked else "") + pair.evidence, line=True),
        "whole": all(_height(side) <= _PAGE for side in sides),
    }


def _scores(pair: Shown) -> str:
    return f"{title(pair.measure)} {fixed(pair.score, 3)}, Levenshtein {fixed(pair.levenshtein, 3)}"


def _ids(pair: Shown) -> list[str]:
    record, generation = f"Record {pair.record} {pair.place}", f"Generation {pair.generation} {pair.origin}"
    if pair.verbatim:
        return [f"{record}   {generation}, the same to the letter and printed once"]
    return [record.rstrip(), generation.rstrip()]


def _side(marked: Marked) -> dict[str, Any]:
    return {
        "direction": direction(text_of(marked)),
        "pieces": [{"kind": _kind(piece), "text": _printable(piece.text)} for piece in marked.pieces],
        "cut": left_out(marked.left_out) if marked.left_out else "",
    }


def _kind(piece: Piece) -> str:
    return "span" if piece.span else "same" if piece.same else "differs"


def _printable(text: str, line: bool = False) -> str:
    """A text made harmless, tabs as spaces, with places at which its long words may break."""
    harmless = safe_line(text) if line else safe_text(text).replace("\t", "    ")
    return _LONG_WORD.sub(lambda word: _broken(word[0]), harmless)


def _broken(word: str) -> str:
    """The word with a BREAK after each stretch, never between a letter and its marks."""
    made = []
    for place, letter in enumerate(word):
        if place and place % _STRETCH == 0 and not unicodedata.category(letter).startswith("M"):
            made.append(BREAK)
        made.append(letter)
    return "".join(made)


def _height(side: dict[str, Any]) -> int:
    """How many lines a text takes in its column, about; never fewer than it does."""
    text = "".join(piece["text"] for piece in side["pieces"])
    return sum(max(1, ceil(_width(line) / _COLUMN)) for line in text.split("\n"))


def _width(line: str) -> float:
    """In letters: what is no Latin letter may be twice as wide."""
    return float(len(line)) if line.isascii() else sum(1.0 if letter < "\u0900" else 2.0 for letter in line)

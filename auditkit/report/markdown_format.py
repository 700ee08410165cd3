"""summary.md: the audit on one screen of a pull request. Figures and keyed ids; never a text, never a link."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from auditkit.files import write_bytes
from auditkit.records import ModelIdentity
from auditkit.report import formatting, history_words, wording
from auditkit.report.base import AuditReport, Finding, ReportFormat, RuleResult
from auditkit.report.copies import copy_sentence
from auditkit.report.definitions import title
from auditkit.report.markdown_text import code, prose
from auditkit.report.places import place_of
from auditkit.report.safe_text import safe_line
from auditkit.report.shown_removal import removal_sentences
from auditkit.report.shown_stages import stage_sentences
from auditkit.report.shown_waivers import waiver_lines
from auditkit.report.shown_worth import HEADING, worth_sentences

FILE_NAME = "summary.md"
MOST_BYTES = 64 * 2**10  # of which GitHub takes 1 MiB a step; nobody reads more
MOST_RULES, MOST_FINDINGS, MOST_SENTENCES = 40, 20, 20
_GRAVEST = ("fail", "inconclusive", "not_viable", "waived", "pass")
_CUT = "\n… cut here; the rest is in the report.\n"


class MarkdownFormat(ReportFormat):
    """A summary for a pull request; `auditkit run` also appends it to $GITHUB_STEP_SUMMARY, where that is set."""

    kind: Literal["markdown"] = "markdown"
    textless = (FILE_NAME,)

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write summary.md."""
        return [write_bytes(folder / FILE_NAME, summary(report).encode())]


def summary(report: AuditReport) -> str:
    """The whole summary, at most MOST_BYTES in UTF-8."""
    waivers = _list("Waivers", waiver_lines(report))
    worth = _list(HEADING, worth_sentences(report))
    stages = _list("Training stages", stage_sentences(report))
    left = _list("What removing would leave", removal_sentences(report))
    found = [_head(report), _rules(report), waivers, _leaks(report), worth, stages, left]
    parts = [*found, _cautions(report), _settle(report)]
    blocks = [*parts, _reproduce(report)]
    text = "\n\n".join(block for block in blocks if block) + "\n"
    if len(text.encode()) <= MOST_BYTES:
        return text
    kept = text.encode()[: MOST_BYTES - len(_CUT.encode())].decode(errors="ignore")
    return kept.rsplit("\n", 1)[0] + _CUT


def _head(report: AuditReport) -> str:
    found = wording.signature_labels(report)
    labels = [code(label, 40) if label == report.signature.label else label for label in found]
    sign, word = wording.OUTCOME_SIGNS[wording.outcome_kind(report)], wording.outcome_words(report)
    heading = " · ".join([f"## {sign} {word}: {code(report.policy.name, 100)}", *labels])
    said = [wording.verdict_sentence(report), *filter(None, [history_words.answer(report), copy_sentence(report)])]
    return "\n\n".join([heading, *(prose(sentence, 1000) for sentence in said), _subject(report)])


def _subject(report: AuditReport) -> str:
    release = report.release
    facts = [f"Model {code(wording.candidate(report))}", f"arm {code(report.verdict.arm)}"]
    facts += [f"released as {code(release.access)}"]
    facts += [f"by {code(release.organisation)}"] if release.organisation else []
    facts += [f"auditor {code(release.auditor)}"] if release.auditor else []
    return f"{'; '.join(facts)}; run {code(report.run.id)}; auditkit {code(report.run.auditkit_version)}."


def _rules(report: AuditReport) -> str:
    rules = sorted(report.verdict.rules, key=lambda rule: _GRAVEST.index(rule.outcome))
    head = ("Outcome", "Metric", "Attack", "Dataset (view)", "Estimate", "95 % interval", "Limit", "Why")
    table = _table(head, [_rule(rule) for rule in rules[:MOST_RULES]])
    return "\n\n".join(["### Rules", table, *_more(len(rules) - MOST_RULES, "rule")])


def _rule(rule: RuleResult) -> list[str]:
    """One row; a passed rule has no reason worth the room, a waived one has always."""
    return [
        f"{wording.OUTCOME_SIGNS[rule.outcome]} {wording.OUTCOME_WORDS[rule.outcome].lower()}",
        prose(title(rule.metric), 200, cell=True),
        code(rule.attack, cell=True),
        f"{code(rule.dataset, cell=True)} ({rule.view})",
        formatting.estimate_value(rule.estimate),
        formatting.interval(rule.estimate),
        formatting.value(rule.metric, rule.limit),
        prose(rule.reason, 300, cell=True) if rule.outcome != "pass" else "",
    ]


def _leaks(report: AuditReport) -> str:
    said = prose(wording.found_sentence(report))
    if not report.findings:
        return f"### Leaked records\n\n{said}"
    shown = sorted(report.findings, key=lambda finding: -finding.score)[:MOST_FINDINGS]
    head = ("Record", "Dataset", "Where", "Score")
    waived = any(finding.waived for finding in shown)
    rows = [[*_finding(one, report), *([prose(one.waived, 300, cell=True)] if waived else [])] for one in shown]
    table = _table((*head, "Waived") if waived else head, rows)
    return "\n\n".join(["### Leaked records", said, table, *_more(report.findings_total - len(shown), "leaked record")])


def _finding(finding: Finding, report: AuditReport) -> list[str]:
    names = (finding.record, finding.dataset, place_of(finding, report).text)
    return [*(code(name, cell=True) for name in names), formatting.fixed(finding.score)]


def _cautions(report: AuditReport) -> str:
    return _list("Cautions", [*report.policy.weaker_than_preset, *report.verdict.cautions])


def _settle(report: AuditReport) -> str:
    return _list("What would settle it", wording.what_would_settle(report))


def _reproduce(report: AuditReport) -> str:
    """From the repository, and from the folder that holds the run where that was kept."""
    policy, run = report.policy.file or "policy.yaml", report.run.id
    commands = (["run", policy], ["verify", run], ["report", run, "--out", "again"])
    told = "\n".join(f"    {safe_line(shlex.join(['auditkit', *command]), 1000)}" for command in commands)
    digests = [f"policy {code(report.policy.sha256)}"]
    digests += [f"{code(model.role)}{_of_address(model)} {code(model.sha256)}" for model in report.models]
    of = ", of the ".join(digests)
    return f"### How to reproduce it\n\n{told}\n\nSHA-256 of the {of}; all random draws begin with seed {report.seed}."


def _of_address(model: ModelIdentity) -> str:
    return "'s address (its weights were not seen)" if model.weights == "unseen" else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(heading: str, sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = [f"- {prose(sentence)}" for sentence in sentences[:MOST_SENTENCES]]
    return "\n\n".join([f"### {heading}", "\n".join(items), *_more(len(sentences) - MOST_SENTENCES, "sentence")])


def _more(count: int, noun: str) -> Iterator[str]:
    if count > 0:
        yield f"… and {count:,} more {noun}{'' if count == 1 else 's'}, in the report."

"""The one document behind HTML and PDF: an escaping environment, and what its templates are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from auditkit.report import formatting, history_words, printing, wording
from auditkit.report.arm_figures import baseline_of, shown_arm
from auditkit.report.attacker import attacker_rows
from auditkit.report.base import AuditReport, RuleResult
from auditkit.report.copies import copy_sentence
from auditkit.report.definitions import definition, metric_definitions, term_definitions, title
from auditkit.report.direction import direction, runs_right_to_left, text_of
from auditkit.report.model_words import ignored_words, manifest_words, signature_words
from auditkit.report.numbered import Figure, numbered_figures
from auditkit.report.page_security import content_policy, page_margin
from auditkit.report.pairs import Cut, shown_bands, shown_findings
from auditkit.report.paper_annex import annex_sentence
from auditkit.report.redaction import redact
from auditkit.report.repeating import extras
from auditkit.report.rule_words import altered_words
from auditkit.report.safe_text import left_out, safe_literal
from auditkit.report.shown_mitigations import shown_mitigations
from auditkit.report.shown_probes import cell, shown_probes
from auditkit.report.shown_removal import what_is_left
from auditkit.report.shown_scoring import forecast_sentences, length_sentence, power_rows, threshold_tables
from auditkit.report.shown_stages import shown_stages
from auditkit.report.shown_waivers import outcome_sentence, page_one_waivers
from auditkit.report.shown_worth import HEADING, shown_worth, worth_metrics
from auditkit.report.skipped import skipped
from auditkit.report.slider import sliders
from auditkit.resources import resource_folder

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE_ONE_RULES = 6
MOST_FACTS = 300  # rows of provenance


@dataclass(frozen=True, slots=True)
class Medium:
    """Where the document is read, and how much of the evidence fits there."""

    screen: bool
    findings: int
    finding_characters: int
    pairs: int
    pair_characters: int
    lines: int
    removals: int  # of one dataset


SCREEN = Medium(
    screen=True, findings=5000, finding_characters=4000, pairs=2000, pair_characters=1500, lines=80, removals=5000
)
PAPER = Medium(
    screen=False, findings=50, finding_characters=1000, pairs=120, pair_characters=420, lines=24, removals=100
)

# Sections in order; one whose test says no is left out, of the contents too.
_SECTIONS = (
    ("rules", "The rules and their limits"),
    ("waivers", "Waivers"),
    ("mitigations", "Mitigations, attacked again"),
    ("limits", "What this audit does not show"),
    ("history", "Was the bar set before the result?"),
    ("skipped", "What was skipped, and why"),
    ("attacker", "The attacker"),
    ("attack", "What was attacked, and how"),
    ("scores", "Scores"),
    ("thresholds", "Rates against the threshold"),
    ("coverage", "Coverage as generations grow, and beyond"),
    ("prefix", "The prefix against the bare beginning of sequence"),
    ("probes", "What the likelihoods say"),
    ("matches", "Leaked records side by side"),
    ("attribution", "Whose data leaked, and what to remove"),
    ("worth", HEADING),
    ("stages", "Which training stage taught it"),
    ("bands", "Pairs at random from each band of score"),
    ("instrument", "Checks of the instrument"),
    ("datasets", "The data"),
    ("estimates", "All estimates"),
    ("method", "Method and definitions"),
    ("provenance", "Provenance"),
    ("appendix", "Appendix: the instrument on models whose training data is known"),
    ("verify", "How to verify and to repeat"),
)


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the document: its anchor, which is also its template, and its heading."""

    id: str
    title: str


def render(report: AuditReport, medium: Medium, redacted: bool) -> str:
    """The whole document as one HTML page; ``redacted``: without a word of the data.

    Nothing in it refers to anything outside: no link, no font, no picture; on a screen one script of its own, without
    which nothing is missing.
    """
    shown = redact(report) if redacted else report
    template = environment().get_template("report/document.html.j2")
    return template.render(_view(shown, medium, redacted))


def _view(report: AuditReport, medium: Medium, redacted: bool) -> dict[str, Any]:
    """What the templates are given."""
    findings = shown_findings(report, medium.findings, Cut(medium.finding_characters, medium.lines, redacted))
    bands, thinned = shown_bands(report, medium.pairs, Cut(medium.pair_characters, medium.lines, redacted))
    charts = numbered_figures(report, [name for name, _ in _SECTIONS], medium.screen)
    estimates = [estimate for arm in report.arms for estimate in (*arm.estimates, *arm.utility)]
    baseline, whose = baseline_of(report.arms), shown_arm(report.arms, report.verdict.arm)
    own = whose.estimates if whose else []
    rules = _decisive_first(report)
    gains = [estimate for estimate in own if estimate.metric == "prefix_gain"]
    return {
        "report": report,
        "screen": medium.screen,
        "own": _own_parts(wording.labels(report, redacted)) if medium.screen else {},
        "sliders": sliders(report, charts["thresholds"]) if medium.screen else [],
        "redacted": redacted,
        "heading": f"Leakage audit: {report.policy.name}{' (redacted)' if redacted else ''}",
        "labels": wording.labels(report, redacted),
        "words": _words(report),
        "settle": wording.what_would_settle(report),
        "page_one_rules": rules[:PAGE_ONE_RULES],
        "page_one_waivers": page_one_waivers(report),
        "rules_left_out": max(0, len(rules) - PAGE_ONE_RULES),
        "charts": charts,
        "sections": [Section(name, words) for name, words in _SECTIONS if _has(name, report, charts, bool(gains))],
        "gains": gains,
        "instrument": report.instrument,
        "probes": shown_probes(report, charts, own),
        "mitigations": shown_mitigations(report),
        "worth": shown_worth(report),
        "shown_in_full": {"baseline": baseline.name if baseline else "", "shipping": report.verdict.arm},
        "findings": findings,
        "annex": "" if medium.screen else annex_sentence(report, medium.findings, redacted),
        "findings_left_out": len(report.findings) - len(findings),
        "most_removals": medium.removals,
        "choice": wording.choice_sentence(report),
        "extras": extras(report),
        "attacker": attacker_rows(report),
        "chain": shown_stages(report, medium.removals),
        "left": what_is_left(report),
        "skipped": skipped(report, len(findings)),
        "bands": bands,
        "bands_thinned": thinned,
        "threshold_tables": threshold_tables(report),
        "forecasts": forecast_sentences(report),
        "powers": list(power_rows(report.powers)),
        "terms": term_definitions(mitigated=report.mitigations is not None),
        "metrics": metric_definitions([*(estimate.metric for estimate in estimates), *worth_metrics(report)]),
        "provenance": list(_facts(report.provenance))[:MOST_FACTS],
        "stages": _stages(report),
    }


def _decisive_first(report: AuditReport) -> list[RuleResult]:
    """The rules that decided the outcome before the others; those of a pass that were waived before all."""
    outcome = report.verdict.outcome
    first = ("waived", outcome) if outcome == "pass" else (outcome,)
    return sorted(report.verdict.rules, key=lambda rule: [rule.outcome != decisive for decisive in first])


def _own_parts(labels: Sequence[str]) -> dict[str, Markup]:
    """The page's style sheet and script to the letter, and the policy that lets in these two and nothing else."""
    style = own_text("style.css") + own_text("screen.css") + page_margin(labels)
    script = own_text("report.js")
    return {"style": style, "script": script, "policy": content_policy(style, script)}


def own_text(name: str) -> Markup:
    """A file beside the templates as it stands: our own text, not a template."""
    text = (resource_folder("templates") / "report" / name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - it comes with the program


def _words(report: AuditReport) -> dict[str, str]:
    means, means_not = wording.meaning(report)
    return {
        "outcome": wording.outcome_words(report),
        "box": wording.outcome_kind(report),
        "verdict": wording.verdict_sentence(report),
        "subject": wording.subject_sentence(report),
        "found": wording.found_sentence(report),
        "means": means,
        "means_not": means_not,
        "signature": wording.signature_sentence(report),
        "rendered_again": copy_sentence(report),
        "history": history_words.answer(report),
        "reach": history_words.REACH,
        "auditor": history_words.auditor(report),
        "method_limit": history_words.METHOD_LIMIT,
    }


def _has(section: str, report: AuditReport, charts: Mapping[str, list[Figure]], gains: bool) -> bool:
    """Whether there is anything to say in a section."""
    something = {
        "waivers": report.waivers or report.waiver_file,
        "mitigations": report.mitigations,
        "history": report.registration or report.earlier_runs,
        "scores": charts["scores"],
        "thresholds": report.thresholds,
        "coverage": charts["coverage"],
        "prefix": charts["prefix"] or gains,
        "probes": report.probes,
        "attribution": report.attribution,
        "worth": report.worth,
        "stages": report.stages,
        "bands": report.figures.bands,
        "instrument": report.positive_controls or report.calibration or report.index,
        "appendix": report.instrument,
    }
    return bool(something.get(section, True))


def _facts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested provenance as (dotted name, value) rows."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _facts(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        for place, item in enumerate(value, 1):
            yield from _facts(item, f"{name} {place}".strip())
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _stages(report: AuditReport) -> list[dict[str, Any]]:
    """Wall time and peak memory of each stage."""
    seconds, memory = report.run.stage_seconds, report.run.peak_memory_bytes
    return [
        {"name": name, "seconds": seconds.get(name), "memory": memory.get(name)}
        for name in dict.fromkeys([*seconds, *memory])
    ]


@cache
def environment() -> Environment:
    """One environment: everything is escaped, unseen characters are shown, an undefined name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from auditkit.report.header_scopes import HeaderScopes

    environment = Environment(
        loader=FileSystemLoader(resource_folder("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printing.finalised,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[HeaderScopes],
    )
    environment.filters |= _FILTERS
    return environment


_FILTERS: dict[str, Any] = {
    "percent": formatting.percent,
    "number": formatting.number,
    "fixed": formatting.fixed,
    "count": formatting.count,
    "duration": formatting.duration,
    "size": formatting.size,
    "moment": formatting.moment,
    "estimate": formatting.estimate_value,
    "interval": formatting.interval,
    "value_of": lambda amount, metric: formatting.value(metric, amount),
    "share_of": lambda amount, whole: formatting.percent(amount / whole) if whole else "–",
    "title_of": title,
    "meaning_of": lambda metric: definition(metric).meaning,
    "capitalise": lambda text: text[:1].upper() + text[1:],
    "cell_of": cell,
    "length_sentence": length_sentence,
    "run_outcome": history_words.outcome,
    "outcome_sign": wording.OUTCOME_SIGNS.__getitem__,
    "outcome_word": wording.OUTCOME_WORDS.__getitem__,
    "finish_word": lambda name: printing.FINISHES.get(name, name),
    "turn_word": lambda name: printing.TURNS.get(name, name),
    "left_out": left_out,
    "direction": direction,
    "runs_right_to_left": runs_right_to_left,
    "text_of": text_of,
    "lines": printing.lines,
    "has_long_words": printing.has_long_words,
    "breakable": printing.breakable,
    "literal": safe_literal,
    "ids": printing.ids,
    "signature_words": signature_words,
    "manifest_words": manifest_words,
    "ignored_words": ignored_words,
    "waiver_outcome": outcome_sentence,
    "altered_words": altered_words,
}

"""The rules that results.sarif speaks of: what each means, how grave it is, and what to do."""

from __future__ import annotations

from typing import Any

from auditkit.report.definitions import definition

LEAK_RULE = "leaked-record"
LONGEST = 1024  # characters of a description that GitHub shows
# As GitHub reads them: 7.0 to 8.9 is "high". What a leak is worth is the reader's to say; none is a trifle.
_SEVERITY = {"leak": "8.0", "rule": "7.0"}
_TAGS = ["security", "privacy", "memorisation", "external/cwe/cwe-200"]  # CWE-200: exposure of sensitive information

_LEAK_HELP = (
    "The model wrote this record, or most of it, without having been given any of it.",
    "See record and generation side by side: auditkit show RUN RECORD, with the run folder and the record's id.",
    "Keep the release back until the gate passes. What helps: train without the record or less often on it "
    "(deduplication, fewer epochs), randomised chat templates, unlearning; declare them under mitigations and auditkit "
    "measures what each of them would bring.",
    "The id is keyed: it is the same in every audit with the same secret, and tells nothing of the record's text.",
)
_RULE_HELP = (
    "A rule passes if the whole 95 % interval of its estimate is within the limit, fails if the whole interval is "
    "above it, and is inconclusive otherwise.",
    "Failed: the policy does not allow this release. Inconclusive: the report says what would settle it; more samples "
    "and more controls narrow the interval.",
)


def rules(metrics: list[str]) -> list[dict[str, Any]]:
    """The descriptor of leaked records, then one for each metric that the gate puts a limit on, in this order."""
    return [_leak(), *(_metric(metric) for metric in metrics)]


def _leak() -> dict[str, Any]:
    meaning = (
        "A generation of the audited model is as near to a record of its training data as never-trained texts hardly "
        "ever are (the calibrated threshold)."
    )
    named = {"id": LEAK_RULE, "name": "LeakedRecord"}
    said = _said("The model reproduces a record of a declared dataset.", meaning, _LEAK_HELP)
    return named | said | _weight(precision="high", severity=_SEVERITY["leak"])


def _metric(metric: str) -> dict[str, Any]:
    meaning = definition(metric)
    named = {"id": metric, "name": "".join(word.capitalize() for word in metric.split("_"))}
    said = _said(f"Limit on {meaning.title}.", meaning.meaning, (meaning.meaning, *_RULE_HELP))
    return named | said | _weight(precision="very-high", severity=_SEVERITY["rule"])


def _said(short: str, full: str, advice: tuple[str, ...]) -> dict[str, Any]:
    return {
        "shortDescription": {"text": short[:LONGEST]},
        "fullDescription": {"text": full[:LONGEST]},
        "help": {"text": "\n".join(advice), "markdown": "\n\n".join(advice)},
    }


def _weight(precision: str, severity: str) -> dict[str, Any]:
    properties = {"tags": _TAGS, "precision": precision, "security-severity": severity}
    return {"defaultConfiguration": {"level": "error"}, "properties": properties}

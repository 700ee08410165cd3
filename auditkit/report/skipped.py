"""What was skipped, left out or cut, and why: read off the report itself, so that nothing goes without a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from auditkit.report.base import AuditReport, Calibration
from auditkit.report.definitions import title
from auditkit.report.formatting import count, percent
from auditkit.report.rule_words import target_words
from auditkit.report.wording import listing

_UNFINISHED = {"length": "cut at the largest number of tokens", "empty": "empty", "failed": "failed"}
MOST_OF_A_KIND = 40  # rows; the rest is counted
MOST_IN_A_ROW = 8


@dataclass(frozen=True, slots=True)
class Skipped:
    """One thing that is not in the figures, or not on these pages. ``part``: of the audit it belongs to."""

    part: str
    what: str
    why: str


def skipped(report: AuditReport, findings_shown: int | None = None) -> list[Skipped]:
    """Everything that the run left out, in the order of its stages.

    Args:
        findings_shown: on these pages; None for all that the report holds.
    """
    parts = {
        "Data": _data(report),
        "Attacks": _attacks(report),
        "Thresholds and controls": _thresholds(report),
        "Search": _search(report),
        "Measures": _measures(report),
        "Probes": _probes(report),
        "Mitigations": _mitigations(report),
        "Worth of the leak": _worth(report),
        "Rules": _rules(report),
        "These pages": _pages(report, findings_shown),
    }
    return [row for part, found in parts.items() for row in _bounded(part, _merged(found))]


_Reason = tuple[str, str]


def _merged(found: Iterable[_Reason]) -> list[_Reason]:
    """Things that were left out for one reason are one row; in which figure the reasons differ is told of each.

    What is counted keeps a row of its own: of two counts in one row nobody could tell whether they are one.
    """
    alike: dict[tuple[str, str], dict[str, str]] = {}  # reason, and what was counted -> what -> the figure
    for what, why in found:
        reason, _, figure = why.partition("; ")
        alike.setdefault((reason, what if what[:1].isdigit() else ""), {})[what] = figure
    return [(_together(list(each)), _reason(reason, list(each.values()))) for (reason, _), each in alike.items()]


def _reason(reason: str, figures: list[str]) -> str:
    if len(set(figures)) > 1:
        return f"{reason}; in this order: {'; '.join(figure or 'no figure' for figure in figures[:MOST_IN_A_ROW])}"
    return "; ".join(filter(None, [reason, figures[0]]))


def _together(what: list[str]) -> str:
    """What several have in common at their beginning is said once."""
    first, *others = what
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*what, strict=False))
    shared, of, _ = "".join(letters[0] for letters in alike).rpartition(" of ")
    start = len(shared) + len(of)
    more = [f"{count(len(what) - MOST_IN_A_ROW)} more"] if len(what) > MOST_IN_A_ROW else []
    return "; ".join([first, *(other[start:] for other in others[: MOST_IN_A_ROW - 1]), *more])


def _bounded(part: str, found: list[_Reason]) -> Iterator[Skipped]:
    for what, why in found[:MOST_OF_A_KIND]:
        yield Skipped(part, what, why)
    if len(found) > MOST_OF_A_KIND:
        yield Skipped(part, f"{count(len(found) - MOST_OF_A_KIND)} more of this kind", "all of them are in audit.json")


def _data(report: AuditReport) -> Iterator[_Reason]:
    for data in report.datasets:
        if data.bad_lines:
            yield (
                f"{count(data.bad_lines)} lines of {data.name}",
                "they hold no readable record; the policy allows so many",
            )
        for view, whole in (("record", "whole records"), ("prompt", "prompts alone")):
            if view not in data.views:
                yield (
                    f"The {view} view of {data.name}",
                    f"its records were not compared as {whole}: they have no such part",
                )
        if not data.controls:
            yield f"Adjusted figures of {data.name}", "it has no controls, so that chance could not be taken off"
    for near in report.near_duplicates:
        if near.controls and near.near_controls == "exclude":
            yield (
                f"{count(near.controls)} controls of {near.dataset}",
                "they nearly repeat a member, and would have hidden leaks of it",
            )


def _attacks(report: AuditReport) -> Iterator[_Reason]:
    for attack in report.attacks:
        lost = [
            f"{count(attack.finished[name])} {words}"
            for name, words in _UNFINISHED.items()
            if attack.finished.get(name)
        ]
        if lost:
            unscored = sum(attack.finished.get(name, 0) for name in _UNFINISHED)
            yield (
                f"{count(unscored)} of {count(attack.generations)} generations of {attack.name}",
                f"{listing(lost)}: unscored, never counted as clean",
            )
    if not any(attack.kind == "bos_prefix" for attack in report.attacks):
        yield "The baseline attack (bos_prefix)", "the policy does not declare it: what the prefix adds is not measured"


def _thresholds(report: AuditReport) -> Iterator[_Reason]:
    for entry in report.calibration:
        if reason := _uncalibrated(entry):
            yield f"Calibration of {entry.dataset}, {entry.view} view", reason
    for data in report.datasets:
        if not any(control.dataset == data.name for control in report.positive_controls):
            yield f"Positive controls of {data.name}", "without a threshold there is nothing to find them at"
    if not any("paraphras" in control.variant for control in report.positive_controls):
        yield (
            "Paraphrased positive controls",
            "none were made: how well the embedder finds a paraphrase is not measured here",
        )
    if report.instrument is None:
        yield "Checks on models whose training data is known", "this version of auditkit brings none along"


def _uncalibrated(entry: Calibration) -> str:
    if entry.source == "uncalibrated":
        return entry.reason or "there is no threshold, and nothing was counted as leaked"
    return "the policy sets the threshold itself" if entry.source == "policy" else ""


def _search(report: AuditReport) -> Iterator[_Reason]:
    for entry in report.index:
        if entry.recall_at_1 < 1:
            yield (
                f"Part of the best matches of {entry.dataset}, {entry.view} view",
                f"the approximate search ({entry.kind}) finds {percent(entry.recall_at_1)} of them",
            )
    for histogram in report.figures.histograms:
        scored = next((a.generations for a in report.attacks if a.name == histogram.attack), 0)
        if histogram.measure != "embedding_score" and histogram.sample < scored:
            yield (
                f"Exact string similarities of most generations of {histogram.attack}",
                f"they are computed on a sample of {count(histogram.sample)}, drawn by the seed, for the figures",
            )


def _measures(report: AuditReport) -> Iterator[_Reason]:
    """Figures that are undefined, of the arm that ships."""
    for arm in report.arms:
        if arm.name != report.verdict.arm:
            continue
        for estimate in (*arm.estimates, *arm.utility):
            if estimate.value is None:
                of = f"{title(estimate.metric).capitalize()} of {estimate.attack or estimate.dataset}"
                on = f" on {estimate.dataset}, {estimate.view} view" if estimate.attack and estimate.dataset else ""
                yield f"{of}{on}", estimate.reason or "undefined on these data"


def _probes(report: AuditReport) -> Iterator[_Reason]:
    if not report.probes:
        yield "All probes of likelihood", "the policy declares none"
    if not any(model.role == "base" for model in report.models):
        yield "Comparison with the model before post-training", "the policy names no base model"
    for probe in report.probes:
        for reason, records in probe.unscored.items():
            yield f"{count(records)} records of {probe.dataset} in {probe.name}", reason


def _mitigations(report: AuditReport) -> Iterator[_Reason]:
    if report.mitigations is None:
        yield "Mitigations", "the policy declares none"
    for arm in report.arms:
        if arm.failed:
            yield f"The arm {arm.name}", arm.failed
        if arm.meaningless:
            yield f"The arm {arm.name}, as a protection", arm.meaningless
        if arm.probes_reason:
            yield f"Probes of the arm {arm.name}", arm.probes_reason
        for sentence in arm.weaker:
            yield f"Part of the attacks on the arm {arm.name}", sentence.rstrip(".")


def _worth(report: AuditReport) -> Iterator[_Reason]:
    if report.worth is None:
        return
    for arm in report.worth.arms:
        if arm.failed:
            yield f"The trainings on {arm.arm}", arm.failed
    held_out = max((budget.held_out for budget in report.worth.budgets), default=0)
    if held_out:
        yield f"{count(held_out)} extractions", "they ask what a held-out task asks: trained on, they would be memory"
    for task in report.worth.tasks:
        if task.unscored:
            yield f"{count(task.unscored)} questions of {task.name}", "they fill the model's context"


def _rules(report: AuditReport) -> Iterator[_Reason]:
    for rule in report.verdict.rules:
        what = f"The limit on {target_words(rule.metric, rule.attack, rule.dataset, rule.view)}"
        if rule.outcome in ("waived", "not_viable"):
            yield what, rule.reason
        elif rule.estimate is None or rule.estimate.value is None:
            yield what, rule.reason or "there is no figure to hold against the limit"


def _pages(report: AuditReport, shown: int | None) -> Iterator[_Reason]:
    held = len(report.findings)
    kind, file = ("redacted ", "audit.redacted.json") if report.redacted else ("", "audit.json")
    if report.findings_total > held:
        yield (
            f"{count(report.findings_total - held)} of {count(report.findings_total)} leaked records",
            f"the policy shows {count(held)} (report.max_findings); the evidence holds all of them until it is purged",
        )
    if shown is not None and shown < held:
        yield (
            f"{count(held - shown)} more leaked records",
            f"they are in the {kind}evidence annex, in the {kind}HTML report and in {file}",
        )

"""The verdict in words: what was done, what came out, what it means and what it does not. No figure is made here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from auditkit.report import copies, formatting
from auditkit.report.arm_figures import shown_arm
from auditkit.report.base import AuditReport, RuleOutcome, RuleResult
from auditkit.report.definitions import title
from auditkit.report.formatting import NBSP
from auditkit.report.rule_words import altered_words

ENOUGH_FOUND = 0.8  # of a positive control
UNSCORED_AT_MOST = 0.05

OUTCOME_WORDS = {
    "pass": "Pass",
    "fail": "Fail",
    "inconclusive": "Inconclusive",
    "waived": "Waived",
    "not_viable": "Not viable",
}
# Shapes as well as colours, so that a black-and-white copy says the same.
OUTCOME_SIGNS = {"pass": "●", "fail": "▲", "inconclusive": "◆", "waived": "○", "not_viable": "□"}

_MEANS = {
    "fail": (
        "Whoever can sample from this model can obtain a measurable part of the data it was aligned with, by the "
        "attack described here and without knowing that data beforehand. The policy does not allow a release in "
        "this state."
    ),
    "pass": (
        "Under the attacks described here, the leak that could be measured stays within the limits that the policy "
        "sets, including the uncertainty of the measurement."
    ),
    "inconclusive": (
        "The evidence allows neither to clear the model nor to hold a leak against it. Until it is settled, the "
        "policy's gate stays shut."
    ),
}
_MEANS_NOT = {
    "fail": (
        "It does not say that every record leaks, nor which use anybody made of it. Records that were not found "
        "are not thereby shown to be safe."
    ),
    "pass": (
        "It does not say that the model has memorised nothing, nor that no other attack, a longer run or access to "
        "the weights beyond what was tried could obtain more."
    ),
    "inconclusive": "It is not a weak pass, and it is not a finding that the model leaks.",
}
_UNFIT = (  # where the arm that ships could not be measured, or is of no use any more
    "The mitigation that is to ship did not work here, or left a model that is of no use: how much of the data such a "
    "model gives away decides nothing. The policy does not allow a release in this state.",
    "It does not say that the model leaks, nor that the mitigation cannot work with other parameters.",
)
_BY_WAIVER = (
    "The model gives away more of the data than the policy allows. Whoever may waive that has done so, in writing and "
    "for a limited time: the section on waivers says who, why and until when. The figures are what they were.",
    "It does not say that the leak is small or was mended. When the waivers expire, the same figures fail.",
)
_ACCESS = {
    "open-weights": "with open weights",
    "api": "through an interface (API)",
    "raw-api": "through an interface that completes texts (raw API)",
    "chat-api": "through an interface that takes messages only (chat API)",
}


def waivers_applied(report: AuditReport) -> int:
    """How many waivers turned a failed rule."""
    return len({number for rule in report.verdict.rules if rule.outcome == "waived" for number in rule.waivers})


def outcome_kind(report: AuditReport) -> RuleOutcome:
    """What the outcome is shown as, in sign and colour: a pass by waivers does not look like any other."""
    return "waived" if report.verdict.outcome == "pass" and _waived(report) else report.verdict.outcome


def outcome_words(report: AuditReport) -> str:
    """The outcome in a word; a pass that is none without waivers says so."""
    word = OUTCOME_WORDS[report.verdict.outcome]
    count = waivers_applied(report)
    if report.verdict.outcome != "pass" or not _waived(report):
        return word
    return f"{word}, with {count} waiver{'' if count == 1 else 's'}" if count else f"{word}, with waivers"


def _waived(report: AuditReport) -> list[RuleResult]:
    return [rule for rule in report.verdict.rules if rule.outcome == "waived"]


def _passed_by_waiver(report: AuditReport) -> str:
    """That the pass is somebody's decision, and what was measured."""
    waived = _waived(report)
    worst = "; ".join(_rule_in_words(rule) for rule in waived[:2])
    more = f" and {len(waived) - 2} more" if len(waived) > 2 else ""
    numbers = {number for rule in waived for number in rule.waivers}
    by = list(dict.fromkeys(one.waiver.who for one in report.waivers if one.number in numbers))
    whom = f" by {listing(by)}" if by else ""
    it = "them" if len(numbers) > 1 else "it"
    return f"This audit passes only by waiver{whom}; without {it} the model would have failed: {worst}{more}."


def verdict_sentence(report: AuditReport) -> str:
    """The outcome in one sentence with the figures that decided it."""
    rules = report.verdict.rules
    if report.verdict.outcome == "pass" and _waived(report):
        return _passed_by_waiver(report)
    chosen = [rule for rule in rules if rule.outcome == report.verdict.outcome]
    if report.verdict.outcome == "fail" and not chosen:
        return f"The arm “{report.verdict.arm}”, which is to ship, passes no gate: {_why_unfit(report)}."
    if report.verdict.outcome == "fail":
        worst = "; ".join(_rule_in_words(rule) for rule in chosen[:2])
        more = f" and {len(chosen) - 2} more" if len(chosen) > 2 else ""
        return f"The model gives away more of its alignment data than the policy allows: {worst}{more}."
    if report.verdict.outcome == "pass":
        return f"Every leak that was measured is within the policy's limits: {_tally(rules)}."
    return f"No verdict is possible on this evidence: {_tally(rules)}."


def _why_unfit(report: AuditReport) -> str:
    """Why the arm that ships cannot be judged by what it leaks: said once, however many rules say so."""
    reasons = (rule.reason.strip().rstrip(".") for rule in report.verdict.rules if rule.outcome == "not_viable")
    return "; ".join(dict.fromkeys(reasons)) or "no rule was evaluated"


def _rule_in_words(rule: RuleResult) -> str:
    figure = formatting.estimate_value(rule.estimate)
    limit = formatting.value(rule.metric, rule.limit)
    of = "of" if formatting.is_share(rule.metric) else "on"
    return (
        f"{title(rule.metric)} {of} “{rule.dataset}” is {figure} "
        f"(95{NBSP}% interval {formatting.interval(rule.estimate)}) where at most {limit} is allowed"
    )


def _tally(rules: Sequence[RuleResult]) -> str:
    """How many rules came out how, in words."""
    outcomes = [rule.outcome for rule in rules]
    said = [
        f"{outcomes.count(outcome)} {words}"
        for outcome, words in (
            ("pass", "passed"),
            ("fail", "failed"),
            ("inconclusive", "inconclusive"),
            ("waived", "waived"),
            ("not_viable", "not viable"),
        )
        if outcome in outcomes
    ]
    noun = "rule" if len(rules) == 1 else "rules"
    return f"of {len(rules)} {noun}, {', '.join(said)}" if said else "no rule was evaluated"


def subject_sentence(report: AuditReport) -> str:
    """Who audited which model for which release, against which data."""
    release = report.release
    auditor = release.auditor or "An auditor whom the policy does not name"
    on_behalf = f" for {release.organisation}" if release.organisation else ""
    access = _ACCESS.get(release.access, release.access)
    names = listing([f"“{dataset.name}”" for dataset in report.datasets])
    records = sum(dataset.records for dataset in report.datasets)
    plural = "dataset" if len(report.datasets) == 1 else "datasets"
    return (
        f"{auditor}{on_behalf} audited the model “{candidate(report)}”, which is to be released {access} as "
        f"“{report.policy.name}” in the arm “{report.verdict.arm}”, against the {plural} {names} "
        f"({formatting.count(records)} records in all) that it was trained on."
    )


def candidate(report: AuditReport) -> str:
    """What the audited model is called: the last parts of where it came from."""
    sources = [model.source for model in report.models if model.role == "candidate"] or [
        m.source for m in report.models
    ]
    if not sources:
        return "not named"
    path = sources[0].rstrip("/")
    return path if "://" in path else "/".join(path.split("/")[-2:])


def listing(words: Sequence[str]) -> str:
    """a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def meaning(report: AuditReport) -> tuple[str, str]:
    """What the outcome means, and what it does not."""
    outcomes = {rule.outcome for rule in report.verdict.rules}
    if report.verdict.outcome == "fail" and "not_viable" in outcomes and "fail" not in outcomes:
        return _UNFIT
    if report.verdict.outcome == "pass" and "waived" in outcomes:
        return _BY_WAIVER
    return _MEANS[report.verdict.outcome], _MEANS_NOT[report.verdict.outcome]


def found_sentence(report: AuditReport) -> str:
    """How many records were given away in all."""
    total = report.findings_total
    attempts = formatting.count(sum(attack.generations for attack in report.attacks))
    of = whose_words(report)
    if not total:
        return f"In {attempts} generations{of} no record was reproduced at or above the threshold."
    plural = "record was" if total == 1 else "records were"
    comma = "" if of else ","
    return (
        f"In {attempts} generations{of}{comma} {formatting.count(total)} {plural} reproduced at or above the threshold."
    )


def choice_sentence(report: AuditReport) -> str:
    """By which rule the evidence was chosen."""
    datasets = (
        ""
        if len(report.datasets) < 2
        else " The datasets take turns: the best of each, then the second of each, and so on; one with fewer leaks "
        "leaves its turns to the others."
    )
    return (
        "Chosen by rule and not by hand: of each cluster of near-duplicates the record with the highest embedding "
        f"score, beside the generation that it has this score with, the highest first.{datasets}"
    )


def whose_words(report: AuditReport) -> str:
    """Whose evidence is shown, where mitigations were tested."""
    shown = shown_arm(report.arms, report.verdict.arm)
    if report.mitigations is None or shown is None:
        return ""
    return f" of the arm “{shown.name}”" if shown.mitigation else " of the baseline, without a mitigation,"


def what_would_settle(report: AuditReport) -> list[str]:
    """For an inconclusive audit: what to change so that the next one can come to a verdict."""
    if report.verdict.outcome != "inconclusive":
        return []
    undecided = [rule for rule in report.verdict.rules if rule.outcome == "inconclusive"]
    datasets = {rule.dataset for rule in undecided} or {dataset.name for dataset in report.datasets}
    advice = [
        *_calibration(report, datasets),
        *_controls(report, datasets),
        *_unscored(report),
        *_straddling(undecided),
    ]
    return list(dict.fromkeys(advice)) or ["See the reasons given with each rule."]


def _calibration(report: AuditReport, datasets: set[str]) -> Iterator[str]:
    for entry in report.calibration:
        if entry.dataset in datasets and entry.threshold is None:
            rate = f", for a declared rate of {formatting.percent(entry.declared_fpr)}" if entry.declared_fpr else ""
            yield (
                f"“{entry.dataset}” ({entry.view} view) has no calibrated threshold: provide more controls of the "
                "same kind that the model was never trained on "
                f"(the calibration half has {formatting.count(entry.controls)}{rate})."
            )


def _controls(report: AuditReport, datasets: set[str]) -> Iterator[str]:
    for control in report.positive_controls:
        if control.dataset in datasets and control.required and control.tpr < ENOUGH_FOUND:
            yield (
                f"On “{control.dataset}” ({control.view} view), of members {altered_words(control.variant)}, the "
                f"instrument finds only {formatting.percent(control.tpr)}: use an embedder that tells these texts "
                "apart better."
            )


def _unscored(report: AuditReport) -> Iterator[str]:
    for attack in report.attacks:
        lost = sum(attack.finished.get(reason, 0) for reason in ("length", "empty", "failed"))
        if attack.generations and lost / attack.generations > UNSCORED_AT_MOST:
            yield (
                f"{formatting.percent(lost / attack.generations)} of the generations of “{attack.name}” were cut, "
                "empty or failed: raise max_new_tokens."
            )


def _straddling(rules: Iterable[RuleResult]) -> Iterator[str]:
    for rule in rules:
        estimate = rule.estimate
        if estimate is None or estimate.low is None or estimate.high is None:
            continue
        if estimate.low <= rule.limit <= estimate.high:
            yield (
                f"The interval of {title(rule.metric)} of {rule.attack} on “{rule.dataset}” ({rule.view} view) lies on "
                "both sides of the limit: more generations and more controls narrow it."
            )


def signature_sentence(report: AuditReport) -> str:
    """Whether the report is signed, and by whom."""
    signature = report.signature
    if report.rendered_again:
        run = "is signed" if signature.signed else "is UNSIGNED too"
        return f"UNSIGNED: a copy, rendered again; the run that it was made from {run}"
    if not signature.signed:
        return (
            "UNSIGNED: the policy asked for no signature, so nothing shows who made this report or that it is unchanged"
        )
    subject = f" of {signature.certificate_subject}" if signature.certificate_subject else ""
    key = f" (key {signature.key_id})" if signature.key_id else ""
    return f"signed with the certificate{subject}{key}{'; ' + signature.label if signature.label else ''}"


def signature_labels(report: AuditReport) -> list[str]:
    """That nobody signed the report, or that it is a copy; and what the policy or the keys call it."""
    unsigned = [] if report.signature.signed else ["UNSIGNED"]
    return [*([copies.LABEL] if report.rendered_again else unsigned), *filter(None, [report.signature.label])]


def labels(report: AuditReport, redacted: bool) -> list[str]:
    """What every page must say of itself: UNSIGNED, the policy's or the keys' label, CONFIDENTIAL or REDACTED."""
    found = signature_labels(report)
    if redacted:
        return [*found, "REDACTED"]
    classes = {dataset.classification for dataset in report.datasets}
    marking = "SECRET" if "secret" in classes else "CONFIDENTIAL"
    return found if classes == {"public"} else [*found, marking]

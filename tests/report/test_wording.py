from __future__ import annotations

import pytest

from auditkit.report import wording
from auditkit.report.base import SignatureInfo, Verdict
from auditkit.report.definitions import definition, metric_definitions, title
from tests.report.builder import DATASETS, calibration, dataset, positive_controls, rule, small_report


def test_a_failed_audit_names_the_figures_that_decided_it() -> None:
    sentence = wording.verdict_sentence(small_report("fail"))
    assert "“sft-support” is 40.9\u00a0%" in sentence and "at most 1\u00a0%" in sentence
    assert "dpo-ranking" not in sentence


def test_a_passed_audit_counts_its_rules() -> None:
    assert "2 passed" in wording.verdict_sentence(small_report("pass"))


def test_who_audited_what_for_whom() -> None:
    sentence = wording.subject_sentence(small_report())
    for words in (
        "release@example.com",
        "Example AI",
        "weights/candidate",
        "open weights",
        "“sft-support” and “dpo-ranking”",
    ):
        assert words in sentence


def test_an_inconclusive_audit_says_what_would_settle_it() -> None:
    undecided = [rule("inconclusive", name, 0.011, 0.008) for name in DATASETS]
    blind = [
        c.model_copy(update={"tpr": 0.41}) if c.variant == "verbatim" else c for c in positive_controls("sft-support")
    ]
    report = small_report(
        verdict=Verdict(outcome="inconclusive", arm="baseline", rules=undecided, cautions=[]),
        calibration=[calibration("dpo-ranking", "record", None)],
        positive_controls=blind,
    )
    cut = report.attacks[0].model_copy(update={"finished": {"stop": 1000, "length": 1000}})
    advice = "\n".join(wording.what_would_settle(report.model_copy(update={"attacks": [cut]})))
    for words in ("more controls", "41\u00a0%", "max_new_tokens", "both sides of the limit"):
        assert words in advice
    assert "“dpo-ranking” (record view) has no calibrated threshold" in advice
    assert "“sft-support” (record view), of members copied to the letter, the instrument finds only" in advice
    assert "verbatim" not in advice


@pytest.mark.parametrize("outcome", ["pass", "fail"])
def test_a_decided_audit_needs_no_settling(outcome: str) -> None:
    assert wording.what_would_settle(small_report(outcome)) == []  # type: ignore[arg-type]


def test_labels_of_the_pages() -> None:
    unsigned = small_report(signature=SignatureInfo(signed=False))
    assert wording.labels(unsigned, redacted=False) == ["UNSIGNED", "CONFIDENTIAL"]
    assert wording.labels(unsigned, redacted=True) == ["UNSIGNED", "REDACTED"]
    assert wording.labels(small_report(), redacted=False) == ["DEMO", "CONFIDENTIAL"]
    public = dataset("open", "sft").model_copy(update={"classification": "public"})
    assert wording.labels(small_report(datasets=[public]), redacted=False) == ["DEMO"]


def test_metrics_with_a_suffix_are_defined_by_what_they_begin_with() -> None:
    assert title("string_memorisation_rate_levenshtein") == "string memorisation rate (levenshtein)"
    assert definition("adjusted_coverage").meaning.startswith("Coverage of the dataset minus")
    assert definition("brand_new_metric").title == "brand new metric"
    names = [entry.name for entry in metric_definitions(["coverage", "coverage", "zzz"])]
    assert names[0] == "coverage" and names[-1] == "zzz" and len(names) == len(set(names))


@pytest.mark.parametrize(("numbers", "told"), [([1], "without it the"), ([1, 2], "without them the")])
def test_a_pass_by_waivers_is_shown_as_none_of_the_others(numbers: list[int], told: str) -> None:
    verdict = small_report("pass").verdict
    rules = [rule.model_copy(update={"outcome": "waived", "waivers": numbers}) for rule in verdict.rules]
    report = small_report("pass", verdict=verdict.model_copy(update={"rules": rules}))
    assert told in wording.verdict_sentence(report)
    assert wording.outcome_kind(report) == "waived"
    assert wording.outcome_kind(small_report("pass")) == "pass"
    assert wording.outcome_kind(small_report("fail")) == "fail"

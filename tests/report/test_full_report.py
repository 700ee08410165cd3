"""What the full report must say beside its figures: the attacker, what was skipped and why, the terms, the choice."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest

from auditkit.report.attacker import attacker_rows
from auditkit.report.base import AuditReport, ReleaseInfo, Verdict
from auditkit.report.definitions import definition, term_definitions
from auditkit.report.document import PAPER, SCREEN, Medium, render
from auditkit.report.redaction import redact
from auditkit.report.skipped import MOST_IN_A_ROW, MOST_OF_A_KIND, skipped
from auditkit.report.wording import OUTCOME_WORDS, choice_sentence
from tests.report.arms_builder import mitigated_report
from tests.report.builder import build_report, calibration, dataset, rule, small_report


def words(page: str) -> str:
    """The text of a page as read, in one line."""
    body = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def reasons(report: AuditReport) -> dict[str, str]:
    return {row.what: row.why for row in skipped(report)}


def test_generations_that_were_not_scored_are_told_with_why() -> None:
    found = reasons(small_report())
    why = found["14 of 2,000 generations of template_prefix"]
    assert why == "12 cut at the largest number of tokens and 2 empty: unscored, never counted as clean"


def test_an_undefined_figure_is_told_with_its_reason() -> None:
    found = reasons(small_report())
    (what,) = (what for what in found if what.startswith("Undercount ratio of bos_prefix on sft-support, record view"))
    assert found[what] == "no string match"


def test_a_threshold_that_was_not_calibrated_is_told() -> None:
    report = small_report(calibration=[calibration("sft-support", "record", threshold=None)])
    assert reasons(report)["Calibration of sft-support, record view"] == "too few controls for 1 %: 200, needed 368"


def test_what_the_policy_does_not_declare_is_told() -> None:
    bare = small_report(models=small_report().models[:1], attacks=small_report().attacks[:1])
    found = reasons(bare)
    for what in (
        "All probes of likelihood",
        "Comparison with the model before post-training",
        "The baseline attack (bos_prefix)",
        "Mitigations",
        "Paraphrased positive controls",
        "Checks on models whose training data is known",
    ):
        assert what in found, what
    assert "Comparison with the model before post-training" not in reasons(small_report())


def test_data_that_were_left_out_are_told() -> None:
    data = dataset("sft-support", "sft").model_copy(update={"bad_lines": 3, "controls": 0, "views": ["prompt"]})
    found = reasons(small_report(datasets=[data]))
    assert "3 lines of sft-support" in found and "The record view of sft-support" in found
    assert "chance could not be taken off" in found["Adjusted figures of sft-support"]


def test_arms_that_failed_or_mean_nothing_are_told() -> None:
    report = mitigated_report()
    told = {what for row in skipped(report) if row.part == "Mitigations" for what in row.what.split("; ")}
    for arm in report.arms:
        assert not arm.failed or f"The arm {arm.name}" in told
        assert not arm.meaningless or f"The arm {arm.name}, as a protection" in told
        assert not arm.probes_reason or f"Probes of the arm {arm.name}" in told
    assert any(arm.failed for arm in report.arms) and any(arm.meaningless for arm in report.arms)


def test_a_waived_rule_is_told() -> None:
    verdict = Verdict(outcome="pass", arm="baseline", cautions=[], rules=[rule("waived", "sft-support", 0.2, 0.01)])
    assert reasons(small_report(verdict=verdict))[
        "The limit on adjusted coverage of template_prefix on sft-support (record view)"
    ]


def test_evidence_that_is_not_shown_is_counted() -> None:
    report = small_report()
    found = {row.what: row.why for row in skipped(report, findings_shown=1)}
    assert "report.max_findings" in found["910 of 914 leaked records"]
    assert found["3 more leaked records"] == "they are in the evidence annex, in the HTML report and in audit.json"


def test_of_one_kind_only_so_many_are_listed_and_the_rest_counted() -> None:
    report = small_report()
    undefined = report.arms[0].estimates[-1]
    many = [replace(undefined, dataset=f"set-{number}", reason=f"reason {number}") for number in range(100)]
    arm = report.arms[0].model_copy(update={"estimates": many})
    rows = [row for row in skipped(report.model_copy(update={"arms": [arm]})) if row.part == "Measures"]
    assert len(rows) == MOST_OF_A_KIND + 1 and rows[-1].what == "60 more of this kind"


def measures(*reasons: str) -> list[tuple[str, str]]:
    """The rows of as many undefined figures of as many datasets, with these reasons."""
    report = small_report()
    undefined = report.arms[0].estimates[-1]
    estimates = [replace(undefined, dataset=f"set-{n}", reason=reason) for n, reason in enumerate(reasons)]
    arm = report.arms[0].model_copy(update={"estimates": estimates})
    rows = skipped(report.model_copy(update={"arms": [arm]}))
    return [(row.what, row.why) for row in rows if row.part == "Measures"]


def test_what_is_missing_for_one_reason_is_one_row() -> None:
    ((what, why),) = measures("no string match", "no string match")
    assert what == "Undercount ratio of bos_prefix on set-0, record view; bos_prefix on set-1, record view"
    assert why == "no string match"
    assert len(measures("no string match", "too few controls")) == 2
    ((what, _),) = measures(*["no string match"] * 20)
    assert what.count("set-") == MOST_IN_A_ROW and what.endswith("; 12 more")


def test_rows_that_differ_in_a_figure_alone_are_one_row_with_the_figures() -> None:
    ((_, why),) = measures("no string match; the ratio is at least 4", "no string match; the ratio is at least 0")
    assert why == "no string match; in this order: the ratio is at least 4; the ratio is at least 0"


@pytest.mark.parametrize("redacted", [False, True])
@pytest.mark.parametrize("medium", [SCREEN, PAPER], ids=["screen", "paper"])
def test_both_twins_say_all_of_it(medium: Medium, redacted: bool) -> None:
    text = words(render(small_report(), medium, redacted))
    for heading in (
        "What this audit does not show",
        "What was skipped, and why",
        "The attacker",
        "Checks of the instrument",
        "Method and definitions",
        "How to verify and to repeat",
    ):
        assert text.count(heading) >= 2, heading  # in the contents and over the section
    assert "12 cut at the largest number of tokens" in text
    assert "2,500" in text and "220,000" in text  # the budget, over both attacks
    assert choice_sentence(small_report()) in text


def test_skipping_tells_no_word_of_the_data() -> None:
    report = redact(small_report())
    texts = {
        word for f in small_report().findings for word in f.record_text.split() if word.isalpha() and len(word) > 5
    }
    told = " ".join(f"{row.what} {row.why}" for row in skipped(report))
    assert not {word for word in texts if word in told}


@pytest.mark.parametrize("access", ["open-weights", "api", "raw-api", "chat-api"])
def test_the_attacker_is_that_of_the_release(access: str) -> None:
    release = ReleaseInfo(organisation="", auditor="", access=access, arm="baseline")
    rows = dict(attacker_rows(small_report(release=release)))
    assert set(rows) == {"Who it is", "Access in this audit", "What they know", "What they do not do"}
    assert ("upper estimate" in rows["Access in this audit"]) == (access != "open-weights")


def test_every_verdict_word_metric_and_term_is_defined() -> None:
    for report in (build_report(), mitigated_report()):
        mitigated = report.mitigations is not None
        text = words(render(report, PAPER, redacted=False))
        defined = text[text.index("Method and definitions", len(text) // 2) :]
        for arm in report.arms:
            for estimate in (*arm.estimates, *arm.utility):
                found = definition(estimate.metric)
                assert found.meaning in defined and "plug-in" not in found.meaning, estimate.metric
        outcomes = {one.outcome for one in report.verdict.rules} | {"pass", "fail", "inconclusive"}
        for outcome in outcomes:
            assert OUTCOME_WORDS[outcome].lower() in defined.lower()
        for term in term_definitions(mitigated):
            assert term.title in defined and term.meaning in defined


TERMS = ("cluster", "probe", "attack", "Merkle root", "keyed id", "shared span", "positive control", "limit", "arm")


@pytest.mark.parametrize("term", TERMS)
def test_the_words_that_pages_lean_on_have_a_definition(term: str) -> None:
    assert any(term in entry.title for entry in term_definitions())
    assert term.lower() in words(render(small_report(), SCREEN, redacted=False)).lower()


def test_with_one_dataset_nothing_is_said_of_turns() -> None:
    assert "take turns" in choice_sentence(small_report())
    assert "take turns" not in choice_sentence(small_report(datasets=small_report().datasets[:1]))


def test_the_redacted_report_names_files_that_its_readers_have() -> None:
    page = words(render(build_report(), Medium(False, 5, 400, 10, 100, 10, 5), True))
    assert "in the redacted evidence annex, in the redacted HTML report and in audit.redacted.json" in page
    matches = page.rpartition("Leaked records side by side")[2].partition("Pairs at random")[0]
    assert "are in report.redacted.annex.pdf." in matches and " report.annex.pdf" not in page

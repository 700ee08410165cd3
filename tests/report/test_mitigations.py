"""The section on mitigations in the pages, and what else speaks of arms."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from auditkit.records import Fact
from auditkit.report import wording
from auditkit.report.base import AuditReport, Verdict
from auditkit.report.document import PAPER, SCREEN, render
from auditkit.report.json_format import canonical, load
from auditkit.report.junit_format import JunitFormat
from auditkit.report.pdf_format import PdfFormat
from auditkit.report.redaction import redact
from auditkit.report.sarif_format import SarifFormat
from auditkit.report.shown_arms import leak_tables
from auditkit.report.shown_mitigations import limit_sentences, shown_mitigations
from tests.report.arms_builder import FATES, MOST, Fate, mitigated_report
from tests.report.builder import rule, small_report
from tests.report.hostile import HOSTILE
from tests.report.poppler import told
from tests.report.test_html_format import Page, assert_harmless

SECRET = "<|im_start|>Zephyrine: tell me Marmalade\n"


def page(report: AuditReport, redacted: bool = False) -> str:
    return Page(render(report, SCREEN, redacted)).text.replace("\u00a0", " ")


def with_parameters(report: AuditReport, parameters: dict[str, object]) -> AuditReport:
    arms = [arm.model_copy(update={"parameters": parameters}) if arm.mitigation else arm for arm in report.arms]
    return report.model_copy(update={"arms": arms})


def test_the_section_says_all_of_every_arm() -> None:
    source = render(mitigated_report(), SCREEN, redacted=False)
    text = assert_harmless(source).text.replace("\u00a0", " ")
    assert text.index("The rules and their limits") < text.index("Mitigations, attacked again")
    for words in (
        "has the weights and chooses every token", "control perplexity may rise by at most 25 %",
        "task accuracy may drop by at most 10 points", "“goldfish_loss”: it passes the gate", "What would help",
        "strongest attack template_randomisation.adaptive (knows the mitigation)", "25.4 %", "23.4 to 27.4 %",
        "+15.6 points", "30.7 to 45.3 %", "Viability unknown", "the loss became infinite in step 212", "Epsilon",
        "at delta 1e-05", "1,204,224", "learning_rate: 0.0002", "Withheld", "20.6 %", "False blocks", "1.3 %",
        "×91,001", "Barbero et al. 2025, sec. 6", "adaptive attack", "control perplexity", "recommended",
    ):  # fmt: skip
        assert words in text, words


def test_on_the_screen_arms_and_their_estimates_are_folded_up_and_on_paper_only_what_ships_is_whole() -> None:
    screen, paper = (render(mitigated_report(), medium, redacted=False) for medium in (SCREEN, PAPER))
    folded = Page(screen).tags["details"]
    assert folded == 2 * len(FATES) + 1  # each arm in its section, each arm and the baseline under the estimates
    assert "details" not in Page(paper).tags
    estimates = Page(paper).text.partition("Arm baseline")[2]
    assert "other arms are in the HTML report" in estimates and "Arm goldfish_loss" not in estimates


def test_without_mitigations_the_report_is_as_it_was() -> None:
    text = page(small_report())
    assert "Mitigations, attacked again" not in text and "adaptive attack" not in text and "What would help" not in text


def test_probes_and_prefix_are_those_of_the_arm_that_is_shown() -> None:
    report = mitigated_report()
    gain = report.arms[0].estimates[-2]
    assert gain.metric == "prefix_gain"
    others = [arm.model_copy(update={"estimates": [*arm.estimates, gain]}) for arm in report.arms[1:]]
    with_gains = report.model_copy(update={"arms": [report.arms[0], *others]})
    section = re.compile(r'<section class="prefix">.*?</section>', re.DOTALL)
    before, after = (section.search(render(each, SCREEN, redacted=False)) for each in (report, with_gains))
    assert before and after and before[0] == after[0]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_words_are_shown_not_run(name: str) -> None:
    text = HOSTILE[name]
    fate = replace(
        FATES[4], name=text, kind=text, acts_on=text, reasons=(text,), facts=(Fact(text, text, text),), withheld=3
    )
    dead = replace(FATES[1], failed=text)
    report = mitigated_report(fates=(fate, dead), datasets=("sft-support",))
    more = {
        "summary": text,
        "source": text,
        "attacker": text,
        "parameters": {text: {text: [text]}},
        "meaningless": text,
    }
    more |= {"attack_kinds": {text: "adaptive"}, "generations": {text: 3}, "probes_reason": text}
    arms = [report.arms[0], *(arm.model_copy(update=more) for arm in report.arms[1:])]
    hostile = report.model_copy(update={"arms": arms})
    for medium in (SCREEN, PAPER):
        page_ = Page(render(hostile, medium, redacted=False))
        assert page_.tags.get("script", 0) == medium.screen and "iframe" not in page_.tags and page_.tags["h1"] == 1
        assert not [attribute for attribute in page_.attributes if attribute.startswith("on")]
    assert_harmless(render(hostile, SCREEN, redacted=True))


def test_redacted_parameters_show_lengths_of_literal_texts_only() -> None:
    given = {"prefixes": [{"name": "p1", "text": SECRET}], "instruction": "refuse", "kind": "lora", "epochs": 3}
    report = with_parameters(mitigated_report(), given | {"note": "Marmalade", "nothing": None, "keep": [True, 0.5]})
    assert "Zephyrine" in page(report)
    shown = redact(report).arms[1].parameters
    assert shown["prefixes"] == [{"name": "2 characters", "text": f"{len(SECRET)} characters"}]
    assert (shown["instruction"], shown["note"]) == ("6 characters", "9 characters")
    assert (shown["kind"], shown["epochs"], shown["nothing"], shown["keep"]) == ("lora", 3, None, [True, 0.5])
    for medium in (SCREEN, PAPER):
        text = render(report, medium, redacted=True)
        assert "Zephyrine" not in text and "Marmalade" not in text


def test_the_data_survives_json_and_an_older_file_still_loads(tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    path.write_bytes(canonical(mitigated_report()))
    assert load(path) == mitigated_report()
    content = json.loads(path.read_bytes())
    del content["mitigations"]
    content["arms"] = [
        {name: content["arms"][0][name] for name in ("name", "mitigation", "attacker", "estimates", "utility")}
    ]
    path.write_text(json.dumps(content))
    assert load(path).mitigations is None and "Mitigations, attacked again" not in page(load(path))


def test_results_for_machines_speak_of_the_arm_that_ships(tmp_path: Path) -> None:
    rules = [rule("pass", "sft-support", 0.002, 0.002, arm="goldfish_loss")]
    report = mitigated_report(verdict=Verdict(outcome="pass", arm="goldfish_loss", rules=rules, cautions=[]))
    (junit,), (sarif,) = JunitFormat().write(report, tmp_path), SarifFormat().write(report, tmp_path)
    assert re.findall(r'classname="([^"]+)"', junit.read_text()) == ["auditkit.goldfish_loss.sft-support"]
    run = json.loads(sarif.read_bytes())["runs"][0]
    assert [told["outcome"] for told in run["properties"]["rules"]] == ["pass"]  # passed: no alert
    assert "adjusted_coverage" in {found["id"] for found in run["tool"]["driver"]["rules"]}
    spoken = {key: value for key, value in run.items() if key != "tool"}  # how a leak is mended is said of every arm
    assert "deduplication" not in junit.read_text() + json.dumps(spoken)


def test_the_report_says_whose_findings_it_shows() -> None:
    def shipped(arm: str) -> AuditReport:
        rules = [rule("pass", "sft-support", 0.002, 0.002, arm=arm)]
        return mitigated_report(verdict=Verdict(outcome="pass", arm=arm, rules=rules, cautions=[]))

    assert "generations of the arm “goldfish_loss” " in wording.found_sentence(shipped("goldfish_loss"))
    for judged_as_the_baseline in ("baseline", "output_filter", "lora.diverged"):
        assert "of the baseline, without a mitigation," in wording.found_sentence(shipped(judged_as_the_baseline))
    assert "generations, " in wording.found_sentence(small_report())
    text = re.sub(r"\s+", " ", page(shipped("goldfish_loss")))
    assert "are those of the arm “goldfish_loss”" in text and "What would help" not in text


def test_an_arm_that_is_not_viable_is_told_apart_from_one_that_leaks() -> None:
    rules = [
        rule("not_viable", name, 0.002, 0.002, arm="dp_sgd", reason="perplexity rose") for name in ("a-data", "b-data")
    ]
    report = mitigated_report(verdict=Verdict(outcome="fail", arm="dp_sgd", rules=rules, cautions=[]))
    sentence = wording.verdict_sentence(report)
    assert "“dp_sgd”" in sentence and sentence.count("perplexity rose") == 1 and "gives away more" not in sentence
    assert "of no use" in wording.meaning(report)[0]


def test_where_every_arm_failed_the_baseline_and_the_reasons_are_shown() -> None:
    failed = Fate("lora", "lora", "training", 0.5, 0.0, failed="out of memory")
    report = mitigated_report(fates=(failed,))
    assert [[row.shown.number for row in table.rows] for table in leak_tables(report)] == [[0, 1], [0, 1]]
    text = page(report)
    assert "out of memory" in text and "No arm tested here counts" in text


def test_an_attacker_who_can_do_less_is_compared_with_what_that_attacker_gets_from_the_baseline() -> None:
    report = mitigated_report()
    assert report.mitigations is not None
    changes = [
        change.model_copy(update={"baseline_attack": "chat_messages"}) if change.arm == "system_prompt" else change
        for change in report.mitigations.changes
    ]
    section = report.mitigations.model_copy(update={"changes": changes})
    text = page(report.model_copy(update={"mitigations": section}))
    assert text.count("against chat_messages on the baseline (41 %)") == 1


def test_an_undefined_reduction_says_why() -> None:
    report = mitigated_report(fates=(FATES[0],))
    assert report.mitigations is not None
    change = next(c for c in report.mitigations.changes if c.comparison == "strongest")
    none = replace(change.reduction, value=None, low=None, high=None, reason="the baseline's interval holds 0")
    section = report.mitigations.model_copy(update={"changes": [change.model_copy(update={"reduction": none})]})
    assert "the baseline's interval holds 0" in page(report.model_copy(update={"mitigations": section}))


def test_costs_of_one_mitigation_alone_stand_with_it() -> None:
    found = shown_mitigations(mitigated_report())
    assert found is not None
    block = next(block for block in found.blocks if block.shown.arm.name == "output_filter")
    own = next(cost for cost in block.costs if cost.metric == "false_block_share")
    assert (own.mitigated.value, own.baseline.value) == ("1.3\u00a0%", "–") and block.filtered
    assert [attack.adaptive for attack in block.attacks] == [False, True]


def test_an_attack_that_yields_no_whole_records_is_shown_by_its_prompts() -> None:
    report = mitigated_report(fates=(FATES[0],))
    arm = report.arms[1]
    adaptive = "template_randomisation.adaptive"
    prompts = [replace(one, view="prompt", value=0.5) for one in arm.estimates if one.attack == adaptive]
    update = {"estimates": [*arm.estimates, *prompts], "prompts_only": [adaptive]}
    found = shown_mitigations(report.model_copy(update={"arms": [report.arms[0], arm.model_copy(update=update)]}))
    assert found is not None
    plain, other = found.blocks[0].attacks
    assert (plain.prompts_only, other.prompts_only) == (False, True)
    assert [leak.value for leak in other.leaks] == ["50\u00a0%"] * 2


def test_limits_are_said_in_the_units_of_their_metrics() -> None:
    said = limit_sentences(MOST | {"lm_eval:piqa": 0.05})
    assert [words.replace("\u00a0", " ") for words in said] == [
        "control perplexity may rise by at most 25 %",
        "task accuracy may drop by at most 10 points",
        "at most 5 % of never-trained texts may be withheld",
        "lm-evaluation-harness (piqa) may change by at most 5 %",
    ]


@pytest.mark.slow
def test_wide_tables_fit_the_page(tmp_path: Path) -> None:
    fates = (FATES[1], replace(FATES[0], name="unlearning.gradient_difference.quantised"), FATES[11])
    report = mitigated_report(fates=fates, findings=[])
    bare = report.figures.model_copy(update={"histograms": [], "scatters": [], "coverage_curves": [], "bands": []})
    full, redacted = PdfFormat().write(report.model_copy(update={"figures": bare}), tmp_path)
    for path in (full, redacted):
        words = re.findall(r'xMin="([\d.]+)" yMin="[\d.]+" xMax="([\d.]+)"', told("pdftotext", "-bbox", path, "-"))
        assert words and min(float(low) for low, _ in words) > 48 and max(float(high) for _, high in words) < 547
    text = told("pdftotext", full, "-")
    assert "Mitigations, attacked again" in text and "knows the mitigation" in re.sub(r"\s+", " ", text)

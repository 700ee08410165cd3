"""Audits of several seeds put together: means, intervals, known results and the page, on figures made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import pytest

from auditkit.lab.mitigations_gather import arm_results
from auditkit.lab.mitigations_known import found, known_results
from auditkit.lab.mitigations_markdown import markdown, size_of
from auditkit.lab.mitigations_result import ITS_OWN, Figure, KnownResult, LabMitigations, over_seeds
from auditkit.records import Estimate
from auditkit.report.arms import Change, Mitigations, Recommendation
from auditkit.report.base import Arm, AuditReport
from auditkit.statistics.differences import difference, reduction
from tests.report.builder import small_report

DATASET, ATTACK = "sft-support", "template_prefix"


def _estimate(metric: str, value: float | None, attack: str = ATTACK, width: float = 0.01) -> Estimate:
    low, high = (None, None) if value is None else (value - width, value + width)
    return Estimate(metric, DATASET, attack, value, low, high, "by hand", reason="" if value is not None else "unknown")


def _change(
    arm: str, metric: str, before: float, after: float, comparison: Literal["plain", "strongest"], attack: str = ATTACK
) -> Change:
    first, second = _estimate(metric, before), _estimate(metric, after, attack)
    return Change(
        arm=arm,
        metric=metric,
        dataset=DATASET,
        view="record",
        comparison=comparison,
        baseline_attack=ATTACK,
        arm_attack=attack,
        baseline=first,
        mitigated=second,
        difference=difference(first, second),
        reduction=reduction(first, second),
    )


def _arm(name: str, kind: str | None, estimates: list[Estimate], perplexity: float | None = None) -> Arm:
    utility = [] if perplexity is None else [_estimate("control_perplexity", perplexity, "", 0.5)]
    return Arm(name=name, mitigation=kind, attacker="raw_api", estimates=estimates, utility=utility, acts_on="training")


def _report(strings: Mapping[str, float], leaks: Mapping[str, tuple[float, float]]) -> AuditReport:
    """Of each arm its string rate, and what the plain and the strongest attack found; 20 % without mitigation."""
    changes = [_change(arm, "string_memorisation_rate", 0.2, rate, "plain") for arm, rate in strings.items()]
    for arm, (plain, strongest) in leaks.items():
        changes += [
            _change(arm, "adjusted_coverage", 0.2, plain, "plain"),
            _change(arm, "adjusted_coverage", 0.2, strongest, "strongest", "adaptive.likely"),
        ]
    names = dict.fromkeys([*strings, *leaks])
    report = small_report("fail")
    return report.model_copy(
        update={
            "arms": [_arm("baseline", None, []), *(_arm(name, name.split(".")[0], []) for name in names)],
            "mitigations": Mitigations(
                attacker="raw_api",
                changes=changes,
                recommendation=Recommendation(arm=None, sentence="", rules=[], steps=[]),
                gate=dict.fromkeys(names, "fail"),
            ),
        }
    )


@pytest.fixture
def reports() -> dict[int, AuditReport]:
    return {
        seed: _report(
            {"deduplication": 0.02 + shift, "goldfish": 0.2 + 4 * shift, "npo": 0.01, "npo.int4": 0.05 + shift},
            {"deduplication": (0.05, 0.08 + shift), "system_prompt": (0.1, 0.199 - shift / 10)},
        )
        for seed, shift in enumerate((-0.01, 0.0, 0.01))
    }


def _known(
    reports: Mapping[int, AuditReport], name: str, on_grid: Mapping[int, AuditReport] | None = None
) -> KnownResult:
    return next(one for one in known_results(reports, on_grid or {}) if one.name == name)


def test_a_mean_over_seeds_has_student_s_interval() -> None:
    figure = over_seeds([_estimate("m", value) for value in (0.1, 0.2, 0.3)])
    assert figure.value == pytest.approx(0.2)
    reach = 4.3027 * 0.1 / 3**0.5
    assert [figure.low, figure.high] == pytest.approx([0.2 - reach, 0.2 + reach], abs=1e-4)
    assert figure.seeds == 3


def test_seeds_without_a_value_are_left_out_and_a_single_one_keeps_its_own_interval() -> None:
    figure = over_seeds([_estimate("m", None), _estimate("m", 0.3)])
    assert (figure.value, figure.low, figure.high, figure.seeds) == (0.3, 0.29, 0.31, 1)
    assert figure.method == ITS_OWN
    nothing = over_seeds([_estimate("m", None)])
    assert (nothing.value, nothing.seeds, nothing.reason) == (None, 0, "unknown")


def test_effects_hold_every_seed_and_their_mean(reports: dict[int, AuditReport]) -> None:
    arms = {arm.arm: arm for arm in arm_results(reports)}
    assert "baseline" not in arms
    (strongest,) = [one for one in arms["deduplication"].effects if one.comparison == "strongest"]
    assert [one.seed for one in strongest.seeds] == [0, 1, 2]
    assert {one.arm_attack for one in strongest.seeds} == {"adaptive.likely"}
    assert strongest.mitigated.value == pytest.approx(0.08)
    assert strongest.difference.value == pytest.approx(0.12)
    assert strongest.reduction.value == pytest.approx(0.6)


def test_known_results_say_which_way_they_came_out(reports: dict[int, AuditReport]) -> None:
    assert _known(reports, "deduplication").found == "as expected"
    assert _known(reports, "goldfish loss").found == "not decided"  # it rose in one seed and fell in another
    assert _known(reports, "quantisation after NPO: int4").found == "as expected"
    assert _known(reports, "system prompt").found == "as expected"
    before = "quantisation before and after NPO: int4"
    assert _known(reports, before).found == "not tested"
    assert _known({}, before, on_grid=reports).found == "as expected"
    missing = _known(reports, "gradient difference")
    assert (missing.found, missing.note) == ("not tested", "its arms were not made")


def test_costs_are_compared_as_factors_however_much_seeds_differ_in_size(reports: dict[int, AuditReport]) -> None:
    """9, 30 and 60 times as much are far apart, and none of them is little."""
    costly = {}
    for (seed, report), factor in zip(reports.items(), (9, 30, 60), strict=True):
        arms = [
            _arm(name, "unlearning", [], 10.0 * times) for name, times in (("npo", 1), ("gradient_difference", factor))
        ]
        costly[seed] = report.model_copy(update={"arms": arms})
    known = _known(costly, "gradient difference")
    assert known.figure.value == pytest.approx(math.log(9 * 30 * 60) / 3, abs=0.01)
    assert known.found == "as expected"


@pytest.mark.parametrize(
    ("low", "high", "expected", "outcome"),
    [
        (0.01, 0.3, "above", "as expected"),
        (-0.3, -0.01, "above", "opposite"),
        (-0.1, 0.1, "above", "not decided"),
        (-0.1, 0.1, "little", "as expected"),
        (0.3, 0.5, "little", "opposite"),
        (0.1, 0.5, "little", "not decided"),
    ],
)
def test_an_interval_decides(low: float, high: float, expected: Literal["above", "little"], outcome: str) -> None:
    figure = Figure(value=(low + high) / 2, low=low, high=high, method="", seeds=3)
    assert found(figure, expected) == outcome


def test_what_a_model_cannot_do_is_not_counted_for_a_filter(reports: dict[int, AuditReport]) -> None:
    def with_style(report: AuditReport, rate: float) -> AuditReport:
        style = _estimate("semantic_memorisation_rate", rate, "styled_wide", 0.004)
        filtered = _arm("ngram_filter", "output_filter", [replace(style, value=0.1, low=0.09, high=0.11)])
        assert report.mitigations is not None
        plain = _change("ngram_filter", "semantic_memorisation_rate", 0.2, 0.05, "plain")
        mitigations = report.mitigations.model_copy(update={"changes": [plain]})
        return report.model_copy(
            update={"arms": [_arm("baseline", None, [style]), filtered], "mitigations": mitigations}
        )

    unable = {0: with_style(reports[0], 0.002)}
    able = {0: with_style(reports[0], 0.1)}
    assert _known(unable, "n-gram filter: style").found == "not tested"
    assert "recite nothing" in _known(unable, "n-gram filter: style").note
    assert _known(able, "n-gram filter: style").found == "as expected"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.6, 0.9, "large"), (0.1, 0.3, "small"), (0.2, 0.9, "large or small"), (-0.05, 0.05, "none"), (-0.3, 0.4, "not")],
)
def test_an_effect_in_a_word(low: float, high: float, word: str) -> None:
    assert word in size_of(Figure(value=(low + high) / 2, low=low, high=high, method="", seeds=3))


def test_the_page_shows_every_arm_and_what_could_not_be_made(reports: dict[int, AuditReport]) -> None:
    broken = reports[2].model_copy(
        update={"arms": [*reports[2].arms, _arm("dp_sgd", "dp_sgd", []).model_copy(update={"failed": "it | diverged"})]}
    )
    reports[2] = broken
    made = LabMitigations(
        recipe="mine",
        recipe_sha256="0" * 64,
        seeds=list(reports),
        auditkit_version="0",
        code_sha256=["0"],
        machine={"system": "here"},
        seconds=dict.fromkeys(reports, 60.0),
        metric="adjusted_coverage",
        limit=0.05,
        baseline=dict.fromkeys(reports, "fail"),
        arms=arm_results(reports),
        known=known_results(reports, {}),
        null=[],
    )
    assert LabMitigations.model_validate_json(made.model_dump_json()) == made
    page = markdown(made)
    rows = {line.split(" | ")[0].strip("| "): line for line in page.split("## Known results")[0].splitlines()}
    assert "adaptive.likely" in rows["deduplication"]
    assert "could not be made" in rows["dp_sgd"]
    assert "it | diverged" in page
    assert all(line.count("|") >= 3 for line in page.splitlines() if line.startswith("|"))
    assert "None" not in page

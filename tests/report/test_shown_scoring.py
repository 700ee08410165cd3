"""Thresholds, forecasts, lengths and power on the page: every figure that the data hold, and none that they do not."""

from __future__ import annotations

import pytest

from auditkit.report.base import AuditReport, RulePower
from auditkit.report.document import SCREEN, render
from auditkit.report.figures import draw_all
from auditkit.report.scored import (
    BudgetForecast,
    Foreseen,
    ForeseenAt,
    LengthCheck,
    NearDuplicates,
    ThresholdCurve,
    ThresholdPoint,
)
from auditkit.report.shown_scoring import length_sentence, threshold_tables
from tests.report.builder import build_report


def _point(threshold: float) -> ThresholdPoint:
    share = round(1 - threshold, 6)
    return ThresholdPoint(
        threshold=threshold,
        members=share,
        members_low=share / 2,
        members_high=share,
        controls=0,
        controls_low=0,
        controls_high=0.001,
        adjusted=share,
        adjusted_low=share / 2,
        adjusted_high=share,
    )


def _curve(drawn: str, thresholds: list[float]) -> ThresholdCurve:
    return ThresholdCurve(
        dataset="sft-support",
        attack="template_prefix",
        view="record",
        drawn=drawn,
        records=321,
        generations=4567,
        points=[_point(threshold) for threshold in thresholds],
    )


FORECAST = BudgetForecast(
    dataset="sft-support",
    attack="template_prefix",
    view="record",
    generations=2000,
    clusters=400,
    clusters_hit=100,
    unseen_mass=Foreseen(value=0.02, low=0.01, high=0.03),
    at_twice=Foreseen(value=0.31, low=0.28, high=0.34),
    reachable=Foreseen(value=0.37, low=0.33, high=0.9),
    on_the_way=[
        ForeseenAt(generations=2000, value=0.25, low=0.25, high=0.25),
        ForeseenAt(generations=4000, value=0.31, low=0.28, high=0.34),
    ],
)
NO_FORECAST = BudgetForecast(
    dataset="dpo-ranking",
    attack="template_prefix",
    view="record",
    generations=2000,
    clusters=400,
    clusters_hit=0,
    reason="there is no semantic threshold: uncalibrated",
)
LONGER = LengthCheck(dataset="sft-support", view="record", auc=0.8, low=0.75, high=0.84, members=400, controls=210)
POWER = RulePower(
    metric="adjusted_coverage",
    dataset="sft-support",
    attack="template_prefix",
    limit=0.01,
    unit="distinct records",
    declared=4321,
    to_pass=369,
    to_detect_80=1237,
    to_detect_95=2035,
    detects=0.991,
)


@pytest.fixture
def report() -> AuditReport:
    made = build_report()
    tau = next(one.threshold for one in made.calibration if (one.dataset, one.view) == ("sft-support", "record"))
    thresholds = sorted({0.5, 0.525, 0.55, 0.999999, tau or 0.9})
    near = NearDuplicates(
        dataset="sft-support", threshold=0.9, clusters=7, largest=31, records=77, controls=19, near_controls="exclude"
    )
    return made.model_copy(
        update={
            "thresholds": [_curve("at_random", thresholds), _curve("by_length", thresholds[:-1])],
            "forecasts": [FORECAST, NO_FORECAST],
            "lengths": [LONGER],
            "near_duplicates": [near],
            "powers": [POWER],
        }
    )


def test_the_page_has_every_part(report: AuditReport) -> None:
    page = render(report, SCREEN, redacted=False).replace("\u00a0", " ")
    for words in (
        "Rates against the threshold",
        "4,567 generations; 321 records on either side",
        "They differ in length enough to matter",
        "4,000 would reach 31 % (95 % interval 28 % to 34 %)",
        "coverage tends to 37 % or more (a lower bound, itself not under 33 %)",
        "no forecast, because there is no semantic threshold",
        "7 clusters hold 77 records",
        "19 controls nearly repeat a member, left out",
        "What the rules could have shown",
        "1,237",
    ):
        assert words in page, words


def test_generations_that_a_curve_left_out_are_told(report: AuditReport) -> None:
    thinned = [
        curve.model_copy(update={"every": every}) for curve, every in zip(report.thresholds, (3, 7), strict=True)
    ]
    made = report.model_copy(update={"thresholds": thinned})
    page = render(made, SCREEN, redacted=False).replace("\u00a0", " ")
    assert "4,567 generations (every 3-th); 321 records on either side" in page
    assert "321 of like length (every 7-th generation)" in page
    (caption,) = {chart.caption for chart in draw_all(made) if chart.section == "thresholds"}
    assert "only every 3-th or 7-th one was looked at" in caption
    (whole,) = {chart.caption for chart in draw_all(report) if chart.section == "thresholds"}
    assert "looked at" not in whole


def test_a_report_without_any_of_it_is_still_a_report() -> None:
    page = render(build_report(), SCREEN, redacted=True)
    assert "Rates against the threshold" not in page
    assert "What a larger budget would get" not in page
    assert "What the rules could have shown" not in page


def test_the_table_shows_coarse_steps_and_the_threshold_in_use(report: AuditReport) -> None:
    (table,) = threshold_tables(report)
    shown = [row.point.threshold for row in table.rows]
    assert 0.525 not in shown
    assert {0.5, 0.55, 0.999999} <= set(shown)
    (in_use,) = (row for row in table.rows if row.in_use)
    assert in_use.matched is not None
    assert table.rows[-1].matched is None  # of which no curve was made


def test_the_charts_go_through_what_is_given(report: AuditReport) -> None:
    charts = {chart.section: chart for chart in reversed(draw_all(report))}  # the first of each: of the records
    assert "members" in charts["thresholds"].caption
    assert "forecast" in charts["coverage"].caption
    assert "forecast" in str(charts["coverage"].svg)
    plain = {chart.section: chart for chart in reversed(draw_all(build_report()))}
    assert "thresholds" not in plain
    assert "forecast" not in plain["coverage"].caption


@pytest.mark.parametrize(
    ("low", "high", "differ"), [(0.45, 0.56, False), (0.51, 0.54, False), (0.56, 0.7, True), (0.2, 0.44, True)]
)
def test_lengths_differ_only_beyond_chance_and_enough_to_matter(low: float, high: float, differ: bool) -> None:
    check = LONGER.model_copy(update={"low": low, "high": high})
    assert check.differ is differ
    assert ("differ in length" in length_sentence(check)) is differ

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from auditkit.report.arm_charts import arm_charts
from auditkit.report.arm_panels import arm_panels
from auditkit.report.base import AuditReport
from auditkit.report.figures import Chart, draw_all
from auditkit.report.svg import drawing, to_svg
from tests.report.arms_builder import FATES, Fate, mitigated_report
from tests.report.builder import small_report
from tests.report.hostile import HOSTILE


def chart(report: AuditReport) -> Chart:
    """The chart alone: the others take their time."""
    with drawing():
        ((section, caption, figure),) = arm_charts(arm_panels(report))
        return Chart(section, caption, to_svg(figure, "fig1", caption))


def texts(found: Chart) -> list[str]:
    return [
        "".join(element.itertext()).strip() for element in ET.fromstring(str(found.svg)).iter() if "text" in element.tag
    ]


def test_every_arm_with_figures_is_a_numbered_point() -> None:
    found = chart(mitigated_report())
    numbers = [text for text in texts(found) if text.isdigit()]
    drawn = [number for number, fate in enumerate(FATES, 1) if not fate.failed]
    assert sorted(map(int, numbers)) == sorted(2 * [0, *drawn])  # two datasets
    assert "not drawn: 11." in found.caption and "Ringed" in found.caption and "Broken line" in found.caption


def test_what_does_not_count_is_open_and_the_limits_are_drawn() -> None:
    panel = arm_panels(mitigated_report())[0]
    assert (panel.limit, panel.most) == (0.01, 0.25)
    open_ = {point.number for point in panel.points if not point.counts}
    assert open_ == {n for n, fate in enumerate(FATES, 1) if fate.meaningless or fate.viability != "viable"}
    assert [point.number for point in panel.points if point.marked] == [2]
    words = texts(chart(mitigated_report()))
    assert words.count("not viable") == 2 and "does not count" in words and "acts on training" in words


def test_one_dataset_takes_the_whole_width() -> None:
    panels = arm_panels(mitigated_report(datasets=("sft-support",)))
    assert [panel.dataset for panel in panels] == ["sft-support"]
    assert chart(mitigated_report(datasets=("sft-support",))).svg


@pytest.mark.parametrize("rise", [0.0, -0.9, 1e300, 1e-300])
@pytest.mark.parametrize("left", [0.0, 1.0, 3.0, -0.2])
def test_degenerate_arms_are_drawn(rise: float, left: float) -> None:
    fates = tuple(replace(fate, rise=rise, left=left) for fate in FATES[:2])
    found = chart(mitigated_report(fates=fates))
    assert ("1000\u00a0% are drawn there" in found.caption) == (rise > 10)
    assert "nan" not in str(found.svg).lower().replace("nance", "")


def test_without_limits_nothing_is_said_of_them() -> None:
    report = mitigated_report()
    assert report.mitigations is not None
    bare = report.mitigations.model_copy(update={"most": {}})
    verdict = report.verdict.model_copy(update={"rules": []})
    found = chart(report.model_copy(update={"mitigations": bare, "verdict": verdict}))
    assert "Shaded" not in found.caption and "Broken" not in found.caption and "not viable" not in texts(found)


def test_there_is_no_chart_without_figures_to_draw() -> None:
    failed = Fate("x", "lora", "training", 0.5, 0.0, failed="diverged")
    for report in (small_report(), mitigated_report(fates=(failed,)), mitigated_report(fates=())):
        assert arm_panels(report) == [] and arm_charts([]) == []


def test_the_report_has_it_in_its_section() -> None:
    assert [each.section for each in draw_all(mitigated_report())].count("mitigations") == 1


def test_many_arms_are_all_labelled() -> None:
    fates = tuple(Fate(f"arm{n}", "lora", "training", 0.9, 0.001 * n) for n in range(40))
    found = chart(mitigated_report(fates=fates, datasets=("sft-support",)))
    assert len([text for text in texts(found) if text.isdigit()]) == 41


@pytest.mark.parametrize("name", ["script", "mathematics", "bidi", "nul", "lines"])
def test_hostile_names_stay_out_of_the_chart(name: str) -> None:
    report = mitigated_report()
    assert report.mitigations is not None
    text = HOSTILE[name]
    changes = [c.model_copy(update={"dataset": text}) for c in report.mitigations.changes if c.dataset == "sft-support"]
    section = report.mitigations.model_copy(update={"changes": changes})
    found = chart(report.model_copy(update={"mitigations": section}))
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(str(found.svg)).iter()}
    assert not tags & {"script", "image", "a", "foreignObject"}
    assert not re.search(r"on\w+=", str(found.svg).replace("font", ""))

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import matplotlib
import pytest
from markupsafe import Markup

from auditkit.report import figures
from auditkit.report.base import RuleResult, Verdict
from auditkit.report.figures import draw_all
from auditkit.report.svg_screen import for_screen
from tests.report.builder import build_report, rule, small_report
from tests.report.hostile import HOSTILE

# Presentation attributes of SVG: what a style may say without a style attribute.
PRESENTATION = set(
    "fill stroke stroke-width stroke-linecap stroke-linejoin stroke-dasharray stroke-dashoffset stroke-opacity opacity "
    "fill-opacity font-size font-family font-weight font-style text-anchor clip-path".split()
)
STRUCTURE = set(
    "id d x y width height viewBox version transform role aria-labelledby aria-describedby clip-rule "
    "{http://www.w3.org/1999/xlink}href".split()
)


def test_every_section_has_its_charts() -> None:
    sections = [chart.section for chart in draw_all(build_report(findings_count=0))]
    assert sections == ["rules", *["scores"] * 8, "coverage", "coverage", "prefix"]


def test_charts_are_wellformed_small_and_their_ids_unique() -> None:
    charts = draw_all(build_report(findings_count=0))
    ids = [found for chart in charts for found in re.findall(r' id="([^"]+)"', chart.svg)]
    assert len(ids) == len(set(ids))
    for chart in charts:
        root = ET.fromstring(str(chart.svg))
        assert root.tag.endswith("svg") and root.get("aria-label") == chart.caption
        assert len(chart.svg) < 150_000 and "<image" not in chart.svg and "<metadata" not in chart.svg
        assert set(re.findall(r'"#([^"]+)"|url\(#([^)]+)\)', chart.svg)) <= {(i, "") for i in ids} | {
            ("", i) for i in ids
        }


def test_drawing_is_deterministic_and_leaves_the_settings_of_the_user_alone() -> None:
    report = small_report()
    with matplotlib.rc_context({"font.size": 31, "text.usetex": True}):
        first = draw_all(report)
        figures._drawn.cache_clear()
        assert draw_all(report) == first
        assert matplotlib.rcParams["font.size"] == 31


def test_rules_are_told_apart_by_shape_and_limits_of_any_size_are_seen() -> None:
    rules = [rule("fail", "a", 0.6, 0.1, limit=0.001), rule("pass", "b", 0.01, 0.01, limit=0.05)]
    chart = draw_all(small_report(verdict=Verdict(outcome="fail", arm="baseline", rules=rules, cautions=[])))[0]
    assert "logarithmic" in chart.caption


@pytest.mark.parametrize("count", [1, 20, 21, 75])
def test_many_rules_take_several_charts(count: int) -> None:
    rules: list[RuleResult] = [rule("pass", f"d{n}", 0.001, 0.001) for n in range(count)]
    report = small_report(verdict=Verdict(outcome="pass", arm="baseline", rules=rules, cautions=[]))
    charts = [chart for chart in draw_all(report) if chart.section == "rules"]
    assert len(charts) == -(-count // 20)


def test_undefined_and_negative_estimates_are_drawn_or_left_out() -> None:
    rules = [rule("inconclusive", "a", None, 0.0), rule("pass", "b", -0.02, 0.01, limit=0.05)]
    charts = draw_all(small_report(verdict=Verdict(outcome="inconclusive", arm="baseline", rules=rules, cautions=[])))
    assert "b, record" in charts[0].svg and "a, record" not in charts[0].svg


def test_degenerate_data_is_drawn() -> None:
    report = small_report()
    data = report.figures
    flat = data.scatters[0].model_copy(update={"points": data.scatters[0].points[:1] * 3})
    none = data.histograms[0].model_copy(update={"counts": [0] * 40})
    curve = data.coverage_curves[0].model_copy(update={"generations": [], "members": [], "controls": []})
    changed = data.model_copy(update={"scatters": [flat], "histograms": [none], "coverage_curves": [curve]})
    assert len(draw_all(report.model_copy(update={"figures": changed}))) == 5


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_charts(name: str) -> None:
    text = HOSTILE[name]
    report = small_report(
        verdict=Verdict(outcome="fail", arm="x", rules=[rule("fail", text, 0.5, 0.1, attack=text)], cautions=[])
    )
    for chart in draw_all(report):
        root = ET.fromstring(str(chart.svg))
        assert not {element.tag.rpartition("}")[2] for element in root.iter()} & {
            "script",
            "image",
            "a",
            "foreignObject",
        }


def test_on_a_screen_the_ink_follows_the_style_sheet_and_no_style_stands_in_an_element() -> None:
    for chart in draw_all(small_report()):
        shown = for_screen(chart.svg, "f1", "Figure 1", chart.caption)
        root = ET.fromstring(str(shown))
        assert "var(--ink)" in shown and "#1b2027" not in shown
        assert not [element for element in root.iter() if element.get("style") is not None]
        assert {name for element in root.iter() for name in element.attrib} <= PRESENTATION | STRUCTURE
        described = {root.get("aria-labelledby"): "Figure 1", root.get("aria-describedby"): chart.caption}
        assert {element.get("id"): element.text for element in list(root)[:2]} == described


def test_a_label_that_looks_like_a_style_stays_a_label() -> None:
    text = ' style="fill: #1b2027" <g style="x: y">'
    report = small_report(
        verdict=Verdict(outcome="fail", arm="x", rules=[rule("fail", "a", 0.5, 0.1, attack=text)], cautions=[])
    )
    shown = ET.fromstring(str(for_screen(draw_all(report)[0].svg, "f1", "Figure 1", text)))
    texts = [element.text or "" for element in shown.iter()]
    assert text in texts and any('style="fill: #1b2027' in label for label in texts if label != text)


def test_fonts_in_one_declaration_are_taken_apart() -> None:
    style = "font: bold 8px 'DejaVu Sans'; text-anchor: middle"
    old = Markup(f'<svg aria-label="x"><text style="{style}">a</text></svg>')
    shown = ET.fromstring(str(for_screen(old, "f", "t", "d")))
    font = {"font-weight": "bold", "font-size": "8px", "font-family": "'DejaVu Sans'", "text-anchor": "middle"}
    assert dict(shown[2].attrib) == font

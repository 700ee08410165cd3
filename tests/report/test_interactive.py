"""The page in real Chromium: what it shows, what its controls do, and what it does not let happen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

from auditkit.report import formatting
from auditkit.report.base import AuditReport
from auditkit.report.document import SCREEN, render
from auditkit.report.html_format import FULL, REDACTED, HtmlFormat
from auditkit.report.safe_text import safe_text
from auditkit.report.slider import sliders
from tests.report.arms_builder import mitigated_report
from tests.report.builder import DATASETS, build_report, small_report
from tests.report.chromium import chromium, visit
from tests.report.curves import with_curves
from tests.report.hostile import HOSTILE
from tests.report.hostile_report import hostile_report
from tests.report.poppler import told
from tests.report.test_history_words import registration

pytestmark = pytest.mark.slow

LIGHT, DARK = "rgb(254, 254, 254)", "rgb(20, 24, 29)"
NARROW = {"viewport": {"width": 360, "height": 800}}
ENDING = {
    "data block": "</script><script>window.ran = 1</script><!--<script>",
    "comment": "--><script>window.ran = 1</script>",
    "line ends": "'\u2028;window.ran = 1//\\",
}


def report_of_fifty() -> AuditReport:
    """Fifty findings, some pairs in bands, curves; few charts."""
    whole, small = build_report(findings_count=50), small_report()
    few = small.figures.model_copy(update={"bands": whole.figures.bands[:40]})
    return with_curves(small.model_copy(update={"findings": whole.findings, "figures": few}))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of two reports: fifty/ and arms/."""
    root: Path = tmp_path_factory.mktemp("pages")
    for name, report in (("fifty", report_of_fifty()), ("arms", mitigated_report())):
        (root / name).mkdir()
        HtmlFormat().write(report, root / name)
    return root


@pytest.fixture
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    with visit(browser, folder / "fifty" / FULL) as seen:
        yield seen.page
        seen.assert_quiet()
        assert seen.refused == []


def matches(page: Page) -> Locator:
    return page.locator("section.matches")


def numbers(page: Page) -> list[int]:
    """The numbers of the matches that are not filtered out, in the order in which they stand."""
    rows = (
        "[...document.querySelectorAll('section.matches .item:not([hidden])')].map(row => Number(row.dataset.number))"
    )
    found: list[int] = page.evaluate(rows)
    return found


def count(page: Page) -> str:
    return matches(page).get_by_role("status").inner_text()


def said(page: Page, shown: int) -> None:
    """Filtering waits for a frame: until the count says so."""
    matches(page).get_by_text(re.compile(rf"^{shown} of 50 matches shown")).wait_for()


@pytest.mark.parametrize("name", ["fifty/report.html", "fifty/report.redacted.html", "arms/report.html"])
def test_it_loads_with_the_network_off_and_breaks_none_of_its_own_rules(
    browser: Browser, folder: Path, name: str
) -> None:
    with visit(browser, folder / name) as seen:
        assert seen.page.get_by_role("button", name="Dark").is_visible()
        seen.assert_quiet()
        assert seen.refused == []


def test_without_scripts_everything_is_shown_and_nothing_is_dead(browser: Browser, folder: Path) -> None:
    with visit(browser, folder / "fifty" / FULL, java_script_enabled=False) as seen:
        assert seen.page.locator("button, input, select, .controls, .slide").count() == 0
        assert seen.page.locator("section.matches .item").count() == 50
        seen.page.locator("#match-50").scroll_into_view_if_needed()
        assert seen.page.locator("#match-50 td.left").is_visible()
        assert seen.page.locator("section.thresholds table.grid").count() == 4
        seen.assert_quiet()


def test_search_takes_every_word_and_says_how_many_are_left(page: Page) -> None:
    assert count(page) == "50 of 50 matches shown"
    report = report_of_fifty()
    words = [f"{finding.record_text} {finding.generation_text}".lower() for finding in report.findings]
    wanted = [place for place, text in enumerate(words, 1) if "harbour" in text and "tariff" in text]
    assert 0 < len(wanted) < 50
    search = matches(page).get_by_label("Search texts and ids (every word)")
    search.fill("  TARIFF harbour ")
    said(page, len(wanted))
    assert numbers(page) == wanted
    search.fill(report.findings[6].record)
    said(page, 1)
    assert numbers(page) == [7]
    search.fill("no such word anywhere")
    said(page, 0)
    matches(page).get_by_role("button", name="Clear").click()
    said(page, 50)
    assert search.input_value() == "" and search.evaluate("element => element === document.activeElement")


def test_filters_by_dataset_view_and_score_together(page: Page) -> None:
    findings = report_of_fifty().findings
    form = matches(page)
    form.get_by_label("Dataset", exact=True).select_option(DATASETS[1])
    said(page, 25)
    form.get_by_label("View", exact=True).select_option("prompt")
    form.get_by_label("Score from").fill("0.96")
    form.get_by_label("to", exact=True).fill("0.98")
    wanted = [
        place
        for place, finding in enumerate(findings, 1)
        if finding.dataset == DATASETS[1] and finding.view == "prompt" and 0.96 <= finding.score <= 0.98
    ]
    assert wanted
    said(page, len(wanted))
    assert numbers(page) == wanted
    assert form.get_by_label("Waived").count() == form.get_by_label("Measure").count() == 0, "nothing to choose there"


def test_waived_records_can_be_told_apart_and_measures_too(browser: Browser, tmp_path: Path) -> None:
    report = report_of_fifty()
    changed = [each.model_copy(update={"measure": "indel_similarity"}) for each in report.findings[:3]]
    report = report.model_copy(update={"findings": [*changed, *report.findings[3:]]})
    source = render(report, SCREEN, False).replace('id="match-5" ', 'id="match-5" data-waived="waived" ')
    path = tmp_path / "page.html"
    path.write_text(source, encoding="utf-8")
    with visit(browser, path) as seen:
        form = matches(seen.page)
        form.get_by_label("Waived").select_option("waived")
        said(seen.page, 1)
        assert numbers(seen.page) == [5]
        form.get_by_label("Waived").select_option("not waived")
        form.get_by_label("Measure").select_option("indel_similarity")
        said(seen.page, 3)
        assert numbers(seen.page) == [1, 2, 3]


def test_headings_sort_by_keyboard_and_say_so(page: Page) -> None:
    findings = report_of_fifty().findings
    heading = matches(page).get_by_role("columnheader", name="Levenshtein")
    button = heading.get_by_role("button")
    assert heading.get_attribute("aria-sort") is None
    button.focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Space")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert numbers(page) == sorted(range(1, 51), key=lambda number: findings[number - 1].levenshtein)
    assert count(page) == "50 of 50 matches shown, by Levenshtein similarity, rising"
    assert matches(page).locator("[aria-sort]").count() == 1
    place = matches(page).get_by_role("columnheader", name="Record")
    place.get_by_role("button").click()
    by_place = sorted(range(1, 51), key=lambda number: (findings[number - 1].file, findings[number - 1].line))
    assert numbers(page) == by_place, "line 9 stands before line 10"


def test_a_sorted_list_can_be_filtered_and_a_filtered_one_sorted(page: Page) -> None:
    matches(page).get_by_label("Dataset", exact=True).select_option(DATASETS[0])
    said(page, 25)
    matches(page).get_by_role("columnheader", name="Score").get_by_role("button").click()
    matches(page).get_by_role("columnheader", name="Score").get_by_role("button").click()
    assert numbers(page) == list(range(49, 0, -2))
    matches(page).get_by_role("button", name="Clear").click()
    said(page, 50)
    assert numbers(page) == list(range(50, 0, -1))


def test_bands_without_a_pair_left_go(page: Page) -> None:
    bands = page.locator("section.bands")
    assert bands.locator(".band:visible").count() == 8
    bands.get_by_label("Score from").fill("0.1")
    bands.get_by_label("to", exact=True).fill("0.2")
    bands.get_by_text(re.compile(r"^1[01] of 40 pairs shown")).wait_for()
    assert bands.locator(".band:visible h3").all_inner_texts() == [
        "Score 0.20 to 0.25", "Score 0.15 to 0.20", "Score 0.10 to 0.15"
    ]  # fmt: skip
    bands.get_by_label("Order within a band").select_option("score")
    scores = bands.locator(".band:visible").last.locator("td.score b").all_text_contents()
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 5


def test_rows_out_of_sight_are_left_alone_by_the_browser(page: Page) -> None:
    style = "body => [getComputedStyle(body).contentVisibility, body.rows.length]"
    groups = matches(page).locator("tbody").all()
    assert [group.evaluate(style) for group in groups] == [["auto", 10]] * 5
    skipped = "row => !row.checkVisibility({ contentVisibilityAuto: true })"
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function(
        "() => !document.querySelector('#match-45').checkVisibility({ contentVisibilityAuto: true })"
    )
    page.locator("#match-45").scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('#match-45').checkVisibility({ contentVisibilityAuto: true })")
    assert page.locator("#match-2").evaluate(skipped)


def test_the_slider_shows_stored_points_and_the_verdict_stays(page: Page) -> None:
    report = report_of_fifty()
    curve = report.thresholds[0]
    threshold = report.calibration[0].threshold or 0.0
    places = sorted(point.threshold for point in curve.points)
    panel = page.get_by_role("group", name=f"Threshold, {curve.dataset}, record view")
    slider, cells = panel.get_by_role("slider"), panel.locator("tbody tr").first.locator("td")
    back = panel.get_by_role("button", name="Back to the threshold in use, 0.8730")

    def expected(place: int) -> list[str]:
        point = curve.points[place]
        sides = (("members", True), ("controls", True), ("adjusted", False))
        made = []
        for side, counted in sides:
            share, low, high = (getattr(point, f"{side}{end}") for end in ("", "_low", "_high"))
            lines = [formatting.percent(share), f"{formatting.percent(low)} to {formatting.percent(high)}"]
            reached = formatting.count(round(share * curve.generations, 1))
            made.append("\n".join([*lines, *([f"{reached} of 2,000"] if counted else [])]))
        return made

    in_use = places.index(threshold)
    assert slider.input_value() == str(in_use) and back.is_disabled()
    assert slider.get_attribute("aria-valuetext") == "0.8730, in use"
    assert cells.all_inner_texts() == expected(in_use)
    slider.focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    assert cells.all_inner_texts() == expected(in_use + 7) != expected(in_use)
    shown = formatting.fixed(places[in_use + 7], 4)
    assert panel.get_by_role("status").inner_text() == (
        f"These rates are at {shown}, not at the threshold of the verdict, 0.8730."
    )
    assert "The verdict stands at the threshold in use, 0.8730 (calibrated)" in panel.inner_text()
    page.keyboard.press("Home")
    assert cells.all_inner_texts() == expected(0)
    back.press("Enter")
    assert cells.all_inner_texts() == expected(in_use) and panel.get_by_role("status").inner_text() == ""
    assert slider.evaluate("element => element === document.activeElement")


def test_the_mark_in_the_chart_stands_where_the_axis_says(page: Page) -> None:
    line, ticks = page.locator("#slider-0 .mark line").first, page.locator("#slider-0 svg text")
    at = {label: box for label, box in ((t.inner_html(), t.bounding_box()) for t in ticks.all()[:12]) if box}
    low, high = (at[label]["x"] + at[label]["width"] / 2 for label in ("0.5", "0.9"))
    slider = page.locator("#slider-0").get_by_role("slider")
    for threshold in ("0.6000", "0.8000", "0.8730"):
        step = report_thresholds(page).index(threshold)
        slider.fill(str(step))
        box = line.bounding_box()
        assert box and box["x"] + box["width"] / 2 == pytest.approx(
            low + (float(threshold) - 0.5) / 0.4 * (high - low), abs=1.5
        )


def report_thresholds(page: Page) -> list[str]:
    found: list[str] = page.evaluate("JSON.parse(document.getElementById('sliders').textContent)[0].thresholds")
    return found


def test_an_uncalibrated_dataset_has_a_slider_and_no_threshold_in_use(browser: Browser, tmp_path: Path) -> None:
    report = report_of_fifty()
    blank = [each.model_copy(update={"threshold": None, "source": "uncalibrated"}) for each in report.calibration]
    HtmlFormat().write(with_curves(report.model_copy(update={"calibration": blank})), tmp_path)
    with visit(browser, tmp_path / FULL) as seen:
        text = seen.page.locator("#slider-0 .slide").inner_text()
        assert "There is no threshold in use here" in text and "verdict stands" not in text
        assert seen.page.locator("#slider-0").get_by_role("slider").input_value() == "0"
        seen.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_by_keyboard(browser: Browser, folder: Path, scheme: str) -> None:
    first, second = (LIGHT, DARK) if scheme == "light" else (DARK, LIGHT)
    ground = "getComputedStyle(document.body).backgroundColor"
    with visit(browser, folder / "fifty" / FULL, color_scheme=scheme) as seen:
        toggle = seen.page.get_by_role("button", name="Dark")
        assert seen.page.evaluate(ground) == first
        assert toggle.get_attribute("aria-pressed") == str(scheme == "dark").lower()
        toggle.focus()
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate(ground) == second
        assert toggle.get_attribute("aria-pressed") == str(scheme == "light").lower()
        seen.page.emulate_media(media="print")
        assert seen.page.evaluate(ground) == LIGHT, "print is light"


def test_the_first_tab_skips_to_the_report_and_focus_is_seen(page: Page) -> None:
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the report")
    box = skip.bounding_box()
    assert box and box["width"] > 50, "seen once it has the focus"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "report"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_print_shows_all_matches_opens_what_is_folded_and_no_controls(
    browser: Browser, folder: Path, tmp_path: Path
) -> None:
    with visit(browser, folder / "fifty" / FULL) as seen:
        matches(seen.page).get_by_label("Search texts").fill("no such word anywhere")
        said(seen.page, 0)
        assert "Printing shows all 50" in matches(seen.page).inner_text()
        seen.page.pdf(path=tmp_path / "fifty.pdf")
    text = told("pdftotext", "-layout", tmp_path / "fifty.pdf", "-")
    for finding in report_of_fifty().findings:
        assert finding.record in text
    sheets = text.removesuffix("\f").split("\f")
    assert all("CONFIDENTIAL" in sheet for sheet in sheets)
    assert all(f"Page {place} of {len(sheets)}" in sheet for place, sheet in enumerate(sheets, 1))
    assert "Search texts" not in text and "Printing shows" not in text and "Back to the threshold" not in text
    with visit(browser, folder / "arms" / FULL) as seen:
        assert seen.page.locator("details:not([open])").count() > 0
        seen.page.pdf(path=tmp_path / "arms.pdf")
    printed = told("pdftotext", tmp_path / "arms.pdf", "-")
    assert printed.count("Attacker, acts on") == len(mitigated_report().arms) - 1


@pytest.mark.parametrize("name", [FULL, REDACTED])
def test_a_narrow_window_has_nothing_beside_it(browser: Browser, folder: Path, name: str) -> None:
    for report in ("fifty", "arms"):
        with visit(browser, folder / report / name, **NARROW) as seen:
            assert seen.page.evaluate("document.documentElement.scrollWidth") == 360
            regions = seen.page.locator(".scroll[tabindex='0']")
            assert regions.count() > 0 and regions.first.get_attribute("role") == "group"


def test_digests_and_a_long_verdict_stay_within_a_narrow_window(browser: Browser, tmp_path: Path) -> None:
    verdict = small_report("pass").verdict
    rules = [rule.model_copy(update={"outcome": "waived", "waivers": [1, 2]}) for rule in verdict.rules]
    other = f"Another candidate model was registered: SHA-256 {'a' * 64}."
    report = small_report(
        "pass", verdict=verdict.model_copy(update={"rules": rules}), registration=registration(differences=[other])
    )
    HtmlFormat().write(report, tmp_path)
    with visit(browser, tmp_path / FULL, **NARROW) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") == 360
        assert seen.page.locator(".verdict .outcome").inner_text().endswith("Pass, with 2 waivers")
        inside = "box => box.getBoundingClientRect().right <= box.closest('.verdict').getBoundingClientRect().right"
        assert seen.page.locator(".verdict .outcome").evaluate(inside)


def test_the_redacted_page_is_searched_by_ids_and_has_no_texts(browser: Browser, folder: Path) -> None:
    report = report_of_fifty()
    with visit(browser, folder / "fifty" / REDACTED) as seen:
        matches(seen.page).get_by_label("Search ids and places (every word)").fill(report.findings[11].generation)
        said(seen.page, 1)
        assert numbers(seen.page) == [12]
        source = seen.page.content()
        assert not [each for each in report.findings if each.record_text.split("\n")[0] in source]


@pytest.mark.parametrize("name", [*HOSTILE, *ENDING])
def test_hostile_texts_do_not_run(browser: Browser, tmp_path: Path, name: str) -> None:
    text = (HOSTILE | ENDING)[name]
    for path in HtmlFormat().write(hostile_report(text), tmp_path):
        with visit(browser, path) as seen:
            seen.page.locator("input[type=search]").first.fill("x")
            for heading in seen.page.locator("th button").all():
                heading.click()
            assert seen.page.evaluate("[typeof window.ran, document.querySelectorAll('script').length]") == [
                "undefined", 2
            ]  # fmt: skip
            slider = seen.page.get_by_role("slider").first
            assert slider.count() == 1
            assert safe_text(text)[:20].split("\n")[0].strip() in seen.page.content().replace("&lt;", "<").replace(
                "&gt;", ">"
            ).replace("&amp;", "&").replace("&quot;", '"').replace("&nbsp;", "\u00a0")
            seen.assert_quiet()
            assert seen.refused == []


def test_what_slipped_through_the_escaping_would_still_not_run(browser: Browser, tmp_path: Path) -> None:
    slipped = (
        "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'><p id=styled style='color: rgb(1, 2, 3)'>x"
        "<style>#styled { color: rgb(1, 2, 3) }</style><link rel=stylesheet href=https://evil.example/x.css>"
        "<base href=https://evil.example/><form action=https://evil.example/><button id=send>x</button></form>"
        "<iframe src='data:text/html,x'></iframe><a id=go href='javascript:window.ran = 1'>x</a>"
    )
    source = render(small_report(), SCREEN, False).replace("<main", f"{slipped}<main", 1)
    path = tmp_path / "page.html"
    path.write_text(source, encoding="utf-8")
    with visit(browser, path) as seen:
        for element in ("go", "send"):
            seen.page.evaluate(f"document.getElementById('{element}').click()")
        assert seen.page.evaluate("typeof window.ran") == "undefined"
        assert seen.page.evaluate("getComputedStyle(document.getElementById('styled')).color") != "rgb(1, 2, 3)"
        assert {"script-src-elem", "script-src-attr", "style-src-elem", "style-src-attr", "img-src", "base-uri",
                "form-action", "frame-src"} <= set(seen.refused)  # fmt: skip
        made = "(() => { try { document.body.innerHTML = 'x'; return 'set' } catch { return 'refused' } })()"
        assert seen.page.evaluate(made) == "refused"
        assert not [url for url in seen.requests if url.startswith("http")]


def axe(page: Page) -> list[Any]:
    """What axe finds against the page, as (rule, first element)."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    assert len(found["passes"]) > 30, "axe looked at hardly anything"
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fifty/report.html", {"color_scheme": "light"}),
        ("fifty/report.html", {"color_scheme": "dark"}),
        ("fifty/report.html", NARROW),
        ("fifty/report.redacted.html", {"color_scheme": "dark"} | NARROW),
        ("arms/report.html", {"color_scheme": "light"}),
        ("arms/report.html", {"color_scheme": "dark"} | NARROW),
    ],
)
def test_axe_finds_no_violation(browser: Browser, folder: Path, name: str, options: dict[str, Any]) -> None:
    with visit(browser, folder / name, **options) as seen:
        assert axe(seen.page) == []


def test_axe_finds_nothing_while_the_controls_are_in_use(page: Page) -> None:
    matches(page).get_by_label("Search texts").fill("harbour")
    matches(page).get_by_role("columnheader", name="Score").get_by_role("button").click()
    slider = page.get_by_role("slider").first
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert axe(page) == []


def test_five_thousand_matches(browser: Browser, tmp_path: Path) -> None:
    report = report_of_fifty()
    many = [
        report.findings[place % 50].model_copy(
            update={"line": place, "score": 0.99 - place / 1e5, "record_text": f"record {place}", "spans": [],
                    "generation_text": f"record {place}"}
        )
        for place in range(1, 5001)
    ]  # fmt: skip
    path = tmp_path / "page.html"
    path.write_text(render(report.model_copy(update={"findings": many}), SCREEN, False), encoding="utf-8")
    with visit(browser, path) as seen:
        matches(seen.page).get_by_label("Search texts").fill("4999")
        matches(seen.page).get_by_text("1 of 5,000 matches shown").wait_for()
        assert numbers(seen.page) == [4999]
        matches(seen.page).get_by_role("button", name="Clear").click()
        matches(seen.page).get_by_text("5,000 of 5,000 matches shown").wait_for()
        matches(seen.page).get_by_role("columnheader", name="Nr").get_by_role("button").click()
        assert numbers(seen.page) == list(range(5000, 0, -1))
        laid_out = (
            "[...document.querySelectorAll('.item')].filter(e => e.checkVisibility({ contentVisibilityAuto: true }))"
        )
        seen.page.wait_for_function(f"() => {laid_out}.length <= 60")
        seen.assert_quiet()


def test_sliders_say_what_was_not_counted() -> None:
    report = report_of_fifty()
    short = report.thresholds[0].model_copy(update={"points": report.thresholds[0].points[1:]})
    (first, *_) = sliders(report.model_copy(update={"thresholds": [short, *report.thresholds[1:]]}), [])
    assert first.readings[0].cells[0] is None and first.readings[1].cells[0] is not None
    assert first.figure is None and first.readings[0].marks is None

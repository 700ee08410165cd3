from __future__ import annotations

import re
import stat
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from auditkit.errors import RunError
from auditkit.report.base import AuditReport
from auditkit.report.html_format import HtmlFormat
from tests.report.builder import build_report, small_report, with_texts
from tests.report.hostile import HOSTILE, LONG_LINE
from tests.report.hostile_report import hostile_report


class Page(HTMLParser):
    """What a browser would make of a page: elements, attributes, ids, text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: dict[str, int] = {}
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.text = ""
        self.metas: dict[str, str] = {}
        self.inside = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.inside = tag
        if tag == "meta" and (about := dict(attrs).get("http-equiv")):
            self.metas[about] = dict(attrs).get("content") or ""
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id" and value:
                self.ids.append(value)
            if name in ("href", "xlink:href", "src") and value:
                self.targets.append(value)

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.text += data


def pages(report: AuditReport, folder: Path) -> tuple[str, str]:
    full, redacted = HtmlFormat().write(report, folder)
    assert (full.name, redacted.name) == ("report.html", "report.redacted.html")
    return full.read_text(encoding="utf-8"), redacted.read_text(encoding="utf-8")


ALLOWED = set(
    "html head meta title style body div span main header p h1 h2 h3 b i u mark code pre nav ol ul li a section table "
    "thead tbody tr th td figure figcaption aside dl dt dd br svg defs g path use text tspan rect clippath "
    "h4 details summary wbr caption desc script".split()
)
JSON_BLOCK = re.compile(r'<script type="application/json"[^>]*>(.*?)</script>', re.DOTALL)


def assert_harmless(source: str) -> Page:
    page = Page(source)
    assert set(page.tags) <= ALLOWED
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(target.startswith("#") for target in page.targets)
    assert page.tags["style"] == page.tags["body"] == page.tags["h1"] == 1
    assert page.tags["script"] == 1 + len(JSON_BLOCK.findall(source)) <= 2
    assert "style" not in page.attributes, "the page's own policy would not let it through"
    assert not re.search(r"url\((?!#)|@import|expression\(", source)
    assert not set(source) & set("\x00\x1b\x07\x08\x7f\x9b\u202e\u2066\u200b\ufeff\ufffe\uffff")
    return page


def test_the_page_is_one_file_that_needs_nothing(tmp_path: Path) -> None:
    for source in pages(build_report(findings_count=6), tmp_path):
        page = assert_harmless(source)
        policy = page.metas["Content-Security-Policy"]
        for element in ("style", "script"):
            content = re.findall(f"<{element}>(.*?)</{element}>", source, re.DOTALL)
            assert len(content) == 1
            assert f"{element}-src 'sha256-{b64encode(sha256(content[0].encode()).digest()).decode()}'" in policy
        assert policy.startswith("default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'")
        assert "unsafe" not in policy and "require-trusted-types-for 'script'; trusted-types 'none'" in policy
        assert len(page.ids) == len(set(page.ids))
        assert {target[1:] for target in page.targets} <= set(page.ids)
        assert page.tags["svg"] == 12 and page.tags["script"] == 1
        assert '<html lang="en-GB">' in source and "support-bot-1.2</title>" in source.replace(" (redacted)", "")


def test_the_verdict_comes_first_and_every_part_is_there(tmp_path: Path) -> None:
    text = Page(pages(build_report(findings_count=6), tmp_path)[0]).text
    assert text.index("Fail") < text.index("What this means") < text.index("Contents")
    for words in (
        "template_prefix takes 2,000 samples", "barely more than the 368", "release@example.com", "<|im_start|>system↵",
        "numbers changed",
        "0.8730", "Clopper-Pearson", "no string match", "proprietary", "data@example.com", "packages.torch", "1 min 11",
        "What this audit does not show", "auditkit verify", "policy as it was run", "Figure 12.", "Score 0.95 to 1.00",
    ):  # fmt: skip
        assert words in text.replace("\u00a0", " "), words


@pytest.mark.parametrize(
    ("outcome", "words"), [("pass", "within the policy's limits"), ("inconclusive", "what would settle it")]
)
def test_other_verdicts(tmp_path: Path, outcome: str, words: str) -> None:
    assert words in Page(pages(small_report(outcome), tmp_path)[0]).text  # type: ignore[arg-type]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_shown_not_run(tmp_path: Path, name: str) -> None:
    report = hostile_report(HOSTILE[name])
    full, _ = (assert_harmless(source) for source in pages(report, tmp_path))
    assert name != "template" or "{{7*7}}" in full.text
    if name == "script":
        assert "<script>fetch(" in full.text


def test_texts_are_bounded(tmp_path: Path) -> None:
    full, _ = pages(with_texts(small_report(), LONG_LINE, LONG_LINE), tmp_path)
    assert len(full) < 1_500_000 and "characters left out" in full


def test_an_almost_empty_report_is_still_a_report(tmp_path: Path) -> None:
    report = build_report("pass", findings_count=0)
    empty: dict[str, list[object]] = {"histograms": [], "scatters": [], "coverage_curves": [], "bands": []}
    report = report.model_copy(
        update={
            "figures": report.figures.model_copy(update=empty), "calibration": [], "positive_controls": [], "index": [],
            "arms": [], "provenance": {}, "limits": [], "verdict": report.verdict.model_copy(update={"rules": []}),
        }
    )  # fmt: skip
    page = assert_harmless(pages(report, tmp_path)[0])
    assert "no record was reproduced" in page.text and "Pairs at random" not in page.text


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    from auditkit.report import figures

    first = pages(small_report(), tmp_path)
    figures._drawn.cache_clear()
    assert pages(small_report(), tmp_path) == first


def test_files_are_private_and_whole(tmp_path: Path) -> None:
    paths = HtmlFormat().write(small_report(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in paths)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        HtmlFormat().write(small_report(), tmp_path / "missing")

"""A report in which every text is hostile: each format writes it, stays what it is, and lets nothing of it act.

What is written comes from generations, records, policies and weights, or from an audit.json that somebody sent.
"""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from auditkit.records import ModelSignature
from auditkit.registry import kinds, plugin_class
from auditkit.report import annex_layout
from auditkit.report.base import AuditReport, DeclaredWaiver, Migration, WaivedRule, Waiver, WaiverFile
from auditkit.report.history import EarlierRun, EarlierRuns, Registration
from auditkit.report.paper_annex import annex
from auditkit.report.terminal import render_screen
from tests.report.builder import small_report
from tests.report.hostile import HOSTILE, LONG_LINE
from tests.report.test_html_format import assert_harmless

TEXTS = {**HOSTILE, "long": LONG_LINE}
FORMATS = sorted(set(kinds("formats")) - {"pdf"})
# What text on a page or a terminal must never hold: it would act, or hide what it is.
ACTING = {*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0))}
ACTING |= set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200d\u200e\u200f\ufeff\u2028\u2029")


def whole_report() -> AuditReport:
    """A report with what came before its run, what was waived, and what its models carry."""
    rule = WaivedRule(metric="coverage", attack="*", dataset="*", view="*", max=0.01, at_most=None)
    waiver = Waiver(rule=rule, reason="why", who="who", issued="2026-01-01", expires="2026-02-01")
    report = small_report()
    return report.model_copy(
        update={
            "registration": Registration(
                registered="2026-01-01T00:00:00Z",
                stamped="2026-01-01T00:00:00Z",
                authority="TSA",
                key_id="0" * 64,
                same_key=False,
                sha256="1" * 64,
                policy_sha256="2" * 64,
                differences=["moved", "moved"],
                unknown=["the model"],
                previous_sha256="3" * 64,
            ),
            "earlier_runs": EarlierRuns(
                runs=[EarlierRun(run="bot", started="2026-01-01T00:00:00Z", outcome="fail", in_ledger=False)],
                total=2,
                problems=["changed"],
            ),
            "waivers": [DeclaredWaiver(number=1, waiver=waiver, state="in force", applied=["rule"], note="note")],
            "waiver_file": WaiverFile(file="waivers.dsse.json", sha256="4" * 64, approver="5" * 64, notes=["note"]),
            "migration": Migration(from_version="1.0", not_recorded=["rates"]),
            "models": [
                replace(model, signature=ModelSignature("not_checked", file="model.sig", reason="not checked"))
                for model in report.models
            ],
        }
    )


def hostile(text: str) -> AuditReport:
    """A report with the text in the place of every text that its types leave free."""
    content = whole_report().model_dump(mode="json")
    originals = {tuple(place): value for place, value in leaves(content)}
    for place in originals:
        put(content, place, text)
    while True:  # what a type refuses is put back: it cannot be in a report
        try:
            return AuditReport.model_validate(content)
        except ValidationError as error:
            refused = [place for place in originals if any(is_at(place, found["loc"]) for found in error.errors())]
            assert refused, error
            for place in refused:
                put(content, place, originals.pop(place))


def leaves(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*place, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from leaves(item, (*place, at))


def is_at(place: tuple[str | int, ...], found: tuple[str | int, ...]) -> bool:
    return place == found[: len(place)]


def put(content: Any, place: tuple[str | int, ...], value: str) -> None:
    *path, last = place
    for step in path:
        content = content[step]
    content[last] = value


@pytest.mark.parametrize("name", sorted(TEXTS))
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_survives_hostile_texts_in_every_place(kind: str, name: str, tmp_path: Path) -> None:
    report = hostile(TEXTS[name])
    for path in plugin_class("formats", kind).model_validate({"kind": kind}).write(report, tmp_path):
        content = path.read_text(encoding="utf-8")
        assert path.resolve().parent == tmp_path.resolve()
        if path.name.startswith("audit"):
            assert json.loads(content)["release"]["organisation"]  # data, and the whole of it: shown by the others
            continue
        shown = [content]
        if path.suffix == ".html":
            assert_harmless(content)
        elif path.suffix in (".json", ".sarif"):
            shown = [text for _, text in leaves(json.loads(content))]
        elif path.suffix == ".xml":
            ET.fromstring(content)
        acting = {character for text in shown for character in text} & (ACTING - {"\n", "\t"})
        assert not acting, (path.name, sorted(map(hex, map(ord, acting))))


# The long texts take minutes to lay out.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["script", "style", "bidi", "nul", "terminal"])
def test_the_pdf_survives_hostile_texts_in_every_place(name: str, tmp_path: Path) -> None:
    report = hostile(TEXTS[name])
    for path in plugin_class("formats", "pdf").model_validate({"kind": "pdf"}).write(report, tmp_path):
        told = subprocess.run(["pdfinfo", "-js", path], capture_output=True, text=True, check=True)
        assert not told.stdout.strip(), "a PDF with a script"
        text = subprocess.run(["pdftotext", path, "-"], capture_output=True, check=True).stdout.decode()
        assert not set(text) & (ACTING - set("\n\t\f\r"))


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_an_evidence_annex_survives_hostile_texts_in_every_place(name: str, tmp_path: Path) -> None:
    path = tmp_path / "annex.pdf"
    path.write_bytes(annex_layout.lay_out(json.dumps(annex(hostile(TEXTS[name]), 1, False), ensure_ascii=False)))
    text = subprocess.run(["pdftotext", path, "-"], capture_output=True, check=True).stdout.decode()
    poppler = "\u202a\u202b\u202c" if name == "scripts" else ""  # it brackets texts that run right to left
    assert "EVIDENCE ANNEX" in text and not set(text) & (ACTING - set(f"\n\t\f\r{poppler}"))


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_terminal_survives_hostile_texts_in_every_place(name: str) -> None:
    console = Console(width=80, record=True, color_system=None, file=open("/dev/null", "w"))  # noqa: PTH123
    console.print(render_screen(hostile(TEXTS[name]), 80))
    shown = console.export_text()
    assert not set(shown) & (ACTING - {"\n"})


def test_waivers_without_their_file_are_shown(tmp_path: Path) -> None:
    """As an audit.json may have them that somebody sent."""
    report = whole_report().model_copy(update={"waiver_file": None})
    paths = plugin_class("formats", "html").model_validate({"kind": "html"}).write(report, tmp_path)
    assert all("In force" in path.read_text() for path in paths)

"""A report rendered again says so, in every format that has room for words; the run's own reports do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditkit.registry import plugin_class
from auditkit.report.base import AuditReport, SignatureInfo
from auditkit.report.copies import RenderedAgain
from auditkit.report.document import PAPER, SCREEN, Medium, render
from auditkit.report.json_format import JsonFormat
from auditkit.report.sarif_format import SarifFormat
from auditkit.report.wording import signature_sentence
from tests.report.builder import small_report

MADE = RenderedAgain(run="bot-20260203T101112Z-1a2b3c4d", rendered="2026-03-04T05:06:07.000Z", auditkit_version="9.9.9")
SAID = ("rendered again by auditkit 9.9.9", "4 March 2026, 05:06 UTC", MADE.run)


def copied() -> AuditReport:
    report = small_report()
    signed = report.signature.model_copy(update={"signed": True, "certificate_subject": "CN=Somebody"})
    return report.model_copy(update={"rendered_again": MADE, "signature": signed})


@pytest.mark.parametrize("medium", [SCREEN, PAPER], ids=["screen", "paper"])
@pytest.mark.parametrize("redacted", [False, True])
def test_a_page_says_that_it_is_an_unsigned_copy(medium: Medium, redacted: bool) -> None:
    page = render(copied(), medium, redacted)
    assert all(said in page for said in SAID)
    assert "UNSIGNED COPY" in page and "signed with the certificate" not in page
    own = render(small_report(), medium, redacted)
    assert "rendered again" not in own and "COPY" not in own


def test_that_the_run_itself_is_signed_is_told_apart() -> None:
    assert signature_sentence(copied()) == "UNSIGNED: a copy, rendered again; the run that it was made from is signed"
    unsigned = copied().model_copy(update={"signature": SignatureInfo(signed=False)})
    assert signature_sentence(unsigned).endswith("is UNSIGNED too")


@pytest.mark.parametrize("kind", ["markdown", "junit", "cyclonedx"])
def test_summaries_and_results_say_so(kind: str, tmp_path: Path) -> None:
    (path,) = plugin_class("formats", kind).model_validate({"kind": kind}).write(copied(), tmp_path)
    content = path.read_text().replace("\\", "")
    assert "rendered again by auditkit 9.9.9" in content and MADE.run in content


def test_sarif_and_json_say_so_as_data(tmp_path: Path) -> None:
    (log,) = SarifFormat().write(copied(), tmp_path)
    assert json.loads(log.read_bytes())["runs"][0]["properties"]["rendered_again"] == MADE.model_dump()
    for path in JsonFormat().write(copied(), tmp_path):
        assert json.loads(path.read_bytes())["rendered_again"] == MADE.model_dump()

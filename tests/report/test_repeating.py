"""The first of the three commands that repeat an audit installs what the audit needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from auditkit.report.html_format import HtmlFormat
from auditkit.report.repeating import extras
from tests.report.arms_builder import mitigated_report
from tests.report.builder import build_report, model, small_report


def test_local_models_need_the_extra_that_opens_them(tmp_path: Path) -> None:
    report = build_report(models=[replace(model("candidate"), backend="transformers")])
    assert extras(report) == "transformers,pdf"
    full, _ = HtmlFormat().write(report, tmp_path)
    assert "pip install 'auditkit[transformers,pdf]==" in full.read_text()


def test_a_model_in_vllm_needs_its_extra() -> None:
    report = build_report(models=[replace(model("candidate"), backend="vllm")])
    assert extras(report) == "vllm,pdf"


def test_a_scripted_model_needs_none() -> None:
    report = build_report(models=[replace(model("candidate"), backend="scripted")])
    assert extras(report) == "pdf"


def test_an_embedder_and_trained_arms_bring_theirs() -> None:
    calibrations = [one.model_copy(update={"embedder": "gemini"}) for one in build_report().calibration]
    assert "gemini" in extras(small_report(calibration=calibrations)).split(",")
    assert "lab" in extras(mitigated_report()).split(",")

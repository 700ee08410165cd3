"""What the report says of training stages, in every form: as figures, without a text of the data."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from auditkit.report.base import AuditReport
from auditkit.report.document import PAPER, render
from auditkit.report.html_format import HtmlFormat
from auditkit.report.json_format import canonical, load
from auditkit.report.markdown_format import summary
from auditkit.report.redaction import redact
from auditkit.report.shown_stages import most_leaking, stage_sentences
from auditkit.report.stage_attribution import (
    ChainModel,
    DatasetStages,
    RecordStage,
    Spread,
    StageAttribution,
    StageLeak,
    StageStep,
)
from auditkit.report.terminal import render_screen
from tests.report.builder import digest, small_report
from tests.report.hostile import HOSTILE
from tests.report.test_html_format import assert_harmless

NAMES = ("base", "sft", "dpo")


def spread(middle: float) -> Spread:
    return Spread(p05=middle - 0.4, p25=middle - 0.1, p50=middle, p75=middle + 0.2, p95=middle + 0.5)


def step(dataset: str, place: int, named: int) -> StageStep:
    risen = {"control_rise": 0.31, "excess": spread(named / 30)} if place else {}
    return StageStep(
        dataset=dataset, checkpoint=NAMES[place], came_out=20 * place, controls_out=0.012, named=named,
        first_out=named, **risen,
    )  # fmt: skip


def leak(stage: str, hit: int, low: float, high: float) -> StageLeak:
    return StageLeak(
        stage=stage, datasets=[f"{stage}-data"], records=220, records_leaked=hit + 2, clusters=200, clusters_leaked=hit,
        rate=hit / 200, low=low, high=high, controls_rate=0.012,
    )  # fmt: skip


def record(place: int, **changes: Any) -> RecordStage:
    made: dict[str, Any] = {
        "dataset": "sft-support", "record": f"rec-{place:020x}", "file": "data/sft.jsonl", "line": place + 1,
        "checkpoint": "sft", "how": "alone", "first_out": "sft", "rises": [1.23456, 0.1], "excess": [1.1111, None],
    }  # fmt: skip
    return RecordStage(**{**made, **changes})


def stages(**changes: Any) -> StageAttribution:
    made: dict[str, Any] = {
        "checkpoints": [
            ChainModel(name=name, stage="" if name == "base" else name, sha256=digest(name), generations=1300)
            for name in NAMES
        ],
        "under": ["template", "bos"],
        "steps": [step("sft-support", at, n) for at, n in enumerate((1, 36, 1))]
        + [step("dpo-ranking", at, n) for at, n in enumerate((0, 1, 5))],
        "datasets": [
            DatasetStages(
                dataset="sft-support",
                stage="sft",
                leaked=40,
                named=38,
                how={"alone": 37, "before": 1, "none": 2},
                agree=36,
            ),
            DatasetStages(dataset="dpo-ranking", stage="dpo", leaked=7, named=6, how={"alone": 6, "close": 1}, agree=5),
        ],
        "leaks": [leak("sft", 38, 0.14, 0.25), leak("dpo", 7, 0.014, 0.07)],
        "records": [record(place) for place in range(12)],
        "records_total": 47,
    }
    return StageAttribution(**{**made, **changes})


def pages(folder: Path, found: StageAttribution | None) -> tuple[str, str]:
    written = HtmlFormat().write(small_report(stages=found), folder)
    full, redacted = (assert_harmless(path.read_text(encoding="utf-8")).text for path in written)
    return re.sub(r"\s+", " ", full), re.sub(r"\s+", " ", redacted)


def test_the_section_says_what_was_named_how_often_and_why_not(tmp_path: Path) -> None:
    full, redacted = pages(tmp_path, stages())
    for words in (
        "Which training stage taught it", "Of 47 leaked records", "1 at base, 37 at sft, 6 at dpo",
        "of 3 it is unclear",
        "41 of 44", "Data of the stage SFT leaks most per record", "2 rose in no step beyond 99 % of the controls",
        "1 rose alike in two steps or more", "data/sft.jsonl:12", "stages-sft-support.csv", "35 more leaked records",
        "behind the chat template's opening and the bare beginning of sequence",
    ):  # fmt: skip
        assert words in full.replace("’", "'"), words
        assert words in redacted.replace("’", "'"), words


def test_it_is_on_paper_on_the_screen_and_in_the_summary() -> None:
    report = small_report(stages=stages())
    assert "Which training stage taught it" in render(report, PAPER, True)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render_screen(report, 100))
    shown = console.export_text()
    assert "Training stages" in shown and "37 at sft" in shown
    assert "### Training stages" in summary(report) and "37 at sft" in summary(report)


def test_without_a_chain_nothing_is_said(tmp_path: Path) -> None:
    assert "Which training stage" not in "".join(pages(tmp_path, None))
    report = small_report()
    assert stage_sentences(report) == [] and "Training stages" not in summary(report)


def test_without_a_leak_there_is_no_stage_to_name(tmp_path: Path) -> None:
    clean = [DatasetStages(dataset="sft-support", stage="sft", leaked=0, named=0, how={})]
    found = stages(datasets=clean, steps=[step("sft-support", at, 0) for at in range(3)], records=[], records_total=0)
    assert "No record leaked, so there is no stage to name." in pages(tmp_path, found)[0]


def test_stages_that_cannot_be_told_apart_are_not_ranked() -> None:
    assert "leaks most per record" in most_leaking([leak("sft", 38, 0.14, 0.25), leak("dpo", 7, 0.014, 0.07)])
    near = most_leaking([leak("sft", 38, 0.14, 0.25), leak("dpo", 36, 0.13, 0.24)])
    assert "cannot be told apart" in near and "18" in near
    assert "cannot" not in most_leaking([leak("rl", 1, 0.0, 0.03)])


def test_what_is_said_of_one_record_is_coarse_in_the_redacted_report() -> None:
    found = redact(small_report(stages=stages())).stages
    assert found is not None
    assert found.records[0].rises == [1.2, 0.1] and found.records[0].excess == [1.1, None]
    assert found.steps == stages().steps


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_not_run(tmp_path: Path, name: str) -> None:
    text = HOSTILE[name]
    hostile = stages(
        steps=[step("sft-support", at, 3).model_copy(update={"dataset": text}) for at in range(3)],
        datasets=[DatasetStages(dataset=text, stage=text, leaked=9, named=9, how={"alone": 9}, agree=1, reason=text)],
        leaks=[leak("sft", 3, 0, 1).model_copy(update={"stage": text, "datasets": [text]})],
        records=[record(0, file=text, dataset=text, checkpoint=text, first_out=text)],
        fewer=[text],
    )
    for path in HtmlFormat().write(small_report(stages=hostile), tmp_path):
        assert_harmless(path.read_text(encoding="utf-8"))


def test_it_is_the_same_after_a_turn_through_audit_json(tmp_path: Path) -> None:
    report: AuditReport = small_report(stages=stages())
    (tmp_path / "audit.json").write_bytes(canonical(report))
    assert load(tmp_path / "audit.json").stages == report.stages

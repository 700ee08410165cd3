"""Whole audits of a model that recites: whose records leaked, which to remove, and what is shared to the letter."""

from __future__ import annotations

import csv
import json
import random
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditkit import audit, load_policy, verify
from auditkit.report.base import AuditReport
from auditkit.report.scored import Attribution, LeakGroup

WORDS = (
    "kettle lamp invoice parcel garden bicycle window ticket coffee printer carpet ladder violin pepper anchor candle "
    "harbour meadow saddle trumpet blanket mirror cabinet basket pillow hammer engine ribbon lantern compass"
).split()


def _records(count: int, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {"q": f"Where did the {' '.join(rng.sample(WORDS, 6))} go?", "a": f"Try the {' '.join(rng.sample(WORDS, 5))}."}
        for _ in range(count)
    ]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _dataset(name: str, owner: str, **more: Any) -> dict[str, Any]:
    fields = {"prompt": "q", "response": "a", "tags": "t"}
    return {
        "name": name, "stage": "sft", "path": f"{name}.jsonl", "fields": fields, "controls": "controls.jsonl",
        "owner": owner, "licence": "proprietary", **more,
    }  # fmt: skip


def _run(folder: Path, lines: list[dict[str, str]], datasets: list[dict[str, Any]], **changes: Any) -> AuditReport:
    policy = {
        "version": 1,
        "name": "scripted",
        "models": {"candidate": {"backend": "scripted", "lines": lines}},
        "datasets": datasets,
        "attacks": [
            {"kind": "template_prefix", "samples": 300, "max_new_tokens": 400, "seed": 1},
            {"kind": "bos_prefix", "samples": 100, "max_new_tokens": 400, "seed": 2},
        ],
        "scoring": {"semantic_threshold": {"calibrate_fpr": 0.05}},
        "gate": [{"metric": "adjusted_coverage", "max": 0.05}],
        "report": {"formats": ["html", "json"], "sign": "none", "max_findings": 8},
    }
    (folder / "policy.yaml").write_text(yaml.safe_dump({**policy, **changes}))
    return audit(load_policy(folder / "policy.yaml"), folder / "out")


def _said(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"user": row["q"], "assistant": row["a"]} for row in rows]


MEMBERS, OTHERS = _records(120, 1), _records(120, 4)
RECITED = range(5, 25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets that share a record; one has tags, and near-duplicates of its record 5; the other is not recited."""
    path = tmp_path_factory.mktemp("project")
    rows = [{**row, "t": ["spoken", "EU"] if place in RECITED else "silent"} for place, row in enumerate(MEMBERS)]
    copies = [{**rows[5], "a": rows[5]["a"].replace(".", mark)} for mark in ("!", "?")]
    _write(path / "first.jsonl", [*rows, *copies])
    _write(path / "second.jsonl", [{**row, "t": None} for row in [*OTHERS, MEMBERS[7]]])
    _write(path / "controls.jsonl", _records(300, 2))
    return path


@pytest.fixture(scope="module")
def report(folder: Path) -> AuditReport:
    """The model recites twenty records of the first dataset."""
    datasets = [_dataset("first", "data@example.com"), _dataset("second", "data@example.com")]
    return _run(folder, _said([MEMBERS[place] for place in RECITED]), datasets)


@pytest.fixture(scope="module")
def found(report: AuditReport) -> Attribution:
    assert report.attribution is not None
    return report.attribution


@pytest.fixture(scope="module")
def groups(found: Attribution) -> dict[tuple[str, str], LeakGroup]:
    return {(group.by, group.name): group for group in found.groups}


def test_leaks_are_counted_by_whose_they_are(groups: dict[tuple[str, str], LeakGroup]) -> None:
    first, second = groups["dataset", "first"], groups["dataset", "second"]
    assert (first.records, first.records_leaked) == (122, 22)  # the near-duplicates are covered too
    assert (first.clusters, first.clusters_leaked) == (120, 20)
    assert (second.records, second.records_leaked) == (121, 1)
    assert first.generations > second.generations > 0
    owner = groups["owner", "data@example.com"]
    assert (owner.records, owner.records_leaked) == (243, 23)
    assert owner.generations == first.generations  # what repeats the shared record is one generation
    assert groups["licence", "proprietary"].records_leaked == 23
    assert groups["tag", "spoken"].records_leaked == groups["tag", "EU"].records_leaked == 22
    assert groups["tag", "silent"].records_leaked == 0
    assert (groups["tag", ""].records, groups["tag", ""].records_leaked) == (121, 1)


def test_the_removal_list_is_ranked_and_points_at_lines(report: AuditReport, found: Attribution) -> None:
    assert found.removals_total == 21  # 20 clusters of the first dataset, the shared record of the second
    first = [removal for removal in found.removals if removal.dataset == "first"]
    assert len(first) == 4  # half of the eight that the policy shows
    assert [r.risk_per_record for r in first] == sorted((r.risk_per_record for r in first), reverse=True)
    assert all(r.file == "first.jsonl" and r.line - 1 in RECITED and r.tags == ["spoken", "EU"] for r in first)
    assert {r.record for r in first} & {f.record for f in report.findings}
    (second,) = (removal for removal in found.removals if removal.dataset == "second")
    assert (second.line, second.records) == (121, 1)
    assert second.cumulative == pytest.approx(1)


def test_the_whole_list_is_in_the_evidence_and_attested(folder: Path, report: AuditReport, found: Attribution) -> None:
    run = folder / "out" / report.run.id
    path = run / "evidence" / "removals-first.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert verify(run).ok
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 22 and len({row["rank"] for row in rows}) == 20
    together = [row for row in rows if row["records_in_cluster"] == "3"]
    assert [row["line"] for row in together] == ["6", "121", "122"]
    assert len({row["rank"] for row in together}) == 1
    shares = {row["rank"]: float(row["risk_per_record"]) * int(row["records_in_cluster"]) for row in rows}
    assert sum(shares.values()) == pytest.approx(1)
    assert rows[0]["record"] == found.removals[0].record and rows[0]["file"] == "first.jsonl"
    path.write_text("rank,file,line\n")
    assert any("removals-first.csv" in problem for problem in verify(run).problems)


def test_a_finding_tells_what_is_shared_to_the_letter(report: AuditReport) -> None:
    for finding in report.findings:
        assert finding.spans, "a recited record shares nothing"
        longest = finding.spans[0]
        there = finding.record_text[longest.record_start : longest.record_start + longest.length]
        assert there == finding.generation_text[longest.generation_start : longest.generation_start + longest.length]
        assert finding.longest_match == finding.longest_match_tokens / finding.record_tokens
    whole = next(finding for finding in report.findings if finding.levenshtein == 1)
    assert (len(whole.spans), whole.spans[0].length, whole.longest_match) == (1, len(whole.record_text), 1)


def test_the_longest_match_is_the_mean_over_what_reaches_the_threshold(report: AuditReport) -> None:
    found = {(e.dataset, e.attack): e for e in report.arms[0].estimates if e.metric == "longest_match"}
    assert set(found) == {(d, a) for d in ("first", "second") for a in ("template_prefix", "bos_prefix")}
    recited = found["first", "template_prefix"]
    assert recited.value == 1 == recited.high and recited.low is not None and recited.low < 1
    assert recited.numerator == recited.denominator == 300 - recited.unscored


def test_a_model_that_recites_nothing_leaves_nothing_to_remove(folder: Path) -> None:
    sums = [{"user": f"How much is {n} and {n + 7}?", "assistant": f"That makes {2 * n + 7}."} for n in range(200)]
    report = _run(folder, sums, [_dataset("second", "", licence="")])
    assert report.attribution is not None
    assert (report.attribution.removals, report.attribution.removals_total) == ([], 0)
    assert {(group.by, group.name) for group in report.attribution.groups} == {
        ("dataset", "second"), ("owner", ""), ("licence", ""),
    }  # fmt: skip
    assert all(group.records_leaked == group.generations == 0 for group in report.attribution.groups)
    longest = [estimate for estimate in report.arms[0].estimates if estimate.metric == "longest_match"]
    assert {(estimate.value, estimate.reason) for estimate in longest} == {
        (None, "no scored generation reaches the threshold")
    }
    written = (folder / "out" / report.run.id / "evidence" / "removals-second.csv").read_text()
    assert written.count("\n") == 1


def test_without_a_threshold_nobody_is_accused(folder: Path) -> None:
    _write(folder / "few.jsonl", _records(20, 2))
    report = _run(folder, _said(MEMBERS), [_dataset("first", "x", controls="few.jsonl")])
    assert report.attribution is None
    assert not (folder / "out" / report.run.id / "evidence" / "removals-first.csv").exists()

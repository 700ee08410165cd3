"""Probes inside a whole audit: likelihoods read in parts and kept, figures in the report, a gate on what they say."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from auditkit import audit, load_policy
from auditkit.auditing import likelihoods
from auditkit.auditing.likelihoods import stored_rows
from auditkit.auditing.reading_plan import readings_of
from auditkit.errors import PolicyError
from auditkit.policy.gate import Doubts, Judged, evaluate
from auditkit.records import Estimate, View
from auditkit.report.base import Arm, AuditReport
from auditkit.report.instrument import shipped_calibration


def _records(count: int, letters: str, seed: int) -> list[dict[str, str]]:
    """Records of words made of these letters: what a unigram model knows of a text."""
    rng = random.Random(seed)

    def words(most: int) -> str:
        return " ".join("".join(rng.choices(letters, k=6)) for _ in range(most))

    return [{"q": f"parcel {words(5)}?", "a": f"{words(6)}."} for _ in range(count)]


MEMBERS, CONTROLS = _records(60, "zqxjkv", 1), _records(120, "eitaon", 2)


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _policy(**changes: Any) -> dict[str, Any]:
    said = [{"user": row["q"], "assistant": row["a"]} for row in MEMBERS]
    other = [{"user": row["q"], "assistant": row["a"]} for row in CONTROLS[:30]]
    policy = {
        "version": 1,
        "name": "probed",
        "models": {
            "candidate": {"backend": "scripted", "lines": said},
            "base": {"backend": "scripted", "lines": other},
        },
        "datasets": [
            {
                "name": "sft",
                "stage": "sft",
                "path": "sft.jsonl",
                "fields": {"prompt": "q", "response": "a"},
                "controls": "controls.jsonl",
            }
        ],
        "attacks": [{"kind": "template_prefix", "samples": 200, "max_new_tokens": 200, "seed": 1}],
        "probes": [{"kind": "reference_ratio"}, {"kind": "likelihood_shift"}],
        "scoring": {"semantic_threshold": 0.95},
        "gate": [{"metric": "reference_ratio_auc", "max": 0.7}],
        "report": {"formats": ["json", "html"], "sign": "none"},
    }
    return {**policy, **changes}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Members that the candidate's script says and the base model's does not."""
    _write(tmp_path / "sft.jsonl", MEMBERS)
    _write(tmp_path / "controls.jsonl", CONTROLS)
    return tmp_path


def _audit(project: Path, policy: dict[str, Any]) -> tuple[AuditReport, Path]:
    (project / "policy.yaml").write_text(yaml.safe_dump(policy))
    report = audit(load_policy(project / "policy.yaml"), project / "out")
    return report, project / "out" / report.run.id


def _estimate(report: AuditReport, metric: str) -> Any:
    return next(found for found in report.arms[0].estimates if found.metric == metric)


def test_a_gate_on_a_probe_fails_where_members_stand_out(project: Path) -> None:
    report, _ = _audit(project, _policy())
    found = _estimate(report, "reference_ratio_auc")
    assert found.value > 0.95 and found.low > 0.7
    assert report.verdict.outcome == "fail"
    assert [probe.kind for probe in report.probes] == ["reference_ratio", "likelihood_shift"]


def test_a_model_that_is_its_own_base_shows_no_shift(project: Path) -> None:
    policy = _policy()
    policy["models"]["base"] = copy.deepcopy(policy["models"]["candidate"])
    report, _ = _audit(project, policy)
    found = _estimate(report, "reference_ratio_auc")
    assert found.value == pytest.approx(0.5)
    assert report.verdict.outcome == "pass"


def test_what_was_read_is_kept_and_does_not_hang_on_how_it_was_cut(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, run = _audit(project, _policy())
    monkeypatch.setattr(likelihoods, "PART", 7)
    cut, cut_run = _audit(project, _policy())
    names = sorted(path.name for path in (run / "evidence").glob("likelihoods-*.parquet"))
    assert names == sorted(path.name for path in (cut_run / "evidence").glob("likelihoods-*.parquet"))
    assert len(names) == 8  # two models, template and BOS, members and controls
    for name in names:
        rows = list(stored_rows(run / "evidence" / name))
        others = list(stored_rows(cut_run / "evidence" / name))
        assert [row[0] for row in rows] == [row[0] for row in others]
        assert all(np.array_equal(a[1].logprobs, b[1].logprobs) for a, b in zip(rows, others, strict=True))
    assert whole.arms == cut.arms


def test_the_scores_of_every_record_are_in_the_evidence(project: Path) -> None:
    _, run = _audit(project, _policy())
    table = pq.read_table(run / "evidence" / "scores-reference_ratio+sft.parquet").to_pydict()
    assert len(table["value"]) == len(MEMBERS) + len(CONTROLS)
    assert set(table["split"]) == {"member", "control"}
    assert all(table["scored"])


def test_no_text_of_the_data_is_in_the_probes_part_of_the_report(project: Path) -> None:
    report, run = _audit(project, _policy())
    said = json.dumps([probe.model_dump() for probe in report.probes])
    assert "parcel" not in said
    html = (run / "report.redacted.html").read_text()
    assert "Likelihood shift" in html
    # What is known of the instrument itself goes with every report.
    assert report.instrument is not None and report.instrument == shipped_calibration()
    assert "Appendix: the instrument on models whose training data is known" in html
    assert "parcel" not in html


def test_a_probe_without_a_base_model_is_refused_with_its_line(project: Path) -> None:
    policy = _policy()
    del policy["models"]["base"]
    (project / "policy.yaml").write_text(yaml.safe_dump(policy))
    with pytest.raises(PolicyError) as caught:
        load_policy(project / "policy.yaml")
    (first, *_) = caught.value.problems
    assert "compares the candidate with the model that it was trained from" in first.message
    assert first.line


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"metric": "min_k_auc", "max": 0.7}, "nothing in this policy produces min_k_auc"),
        ({"metric": "reference_ratio_auc", "attack": "template_prefix", "max": 0.7}, "is no probe of this policy"),
    ],
)
def test_a_rule_that_no_probe_feeds_is_refused(project: Path, rule: dict[str, Any], said: str) -> None:
    (project / "policy.yaml").write_text(yaml.safe_dump(_policy(gate=[rule])))
    with pytest.raises(PolicyError, match=said):
        load_policy(project / "policy.yaml")


def test_a_probe_may_not_take_the_name_of_an_attack(project: Path) -> None:
    policy = _policy(probes=[{"kind": "reference_ratio", "name": "template_prefix"}])
    (project / "policy.yaml").write_text(yaml.safe_dump(policy))
    with pytest.raises(PolicyError, match="an attack is called"):
        load_policy(project / "policy.yaml")


def test_a_forecast_is_of_the_attack_through_the_template_whatever_its_name(project: Path) -> None:
    attack = {"kind": "template_prefix", "name": "opening", "samples": 200, "max_new_tokens": 200, "seed": 1}
    (project / "policy.yaml").write_text(
        yaml.safe_dump(
            _policy(
                attacks=[attack],
                probes=[{"kind": "extraction_probability"}, {"kind": "min_k"}],
                gate=[{"metric": "min_k_auc", "max": 0.7}],
            )
        )
    )
    policy = load_policy(project / "policy.yaml")
    assert policy.probes[0].model_dump()["attack"] == "opening"
    # The template's opening is that attack's first prefix: one pass over the records serves both probes.
    assert [(reading.under, reading.sampled) for reading in readings_of(policy)] == [("attack:opening", True)]


def test_the_pass_of_an_attack_answers_the_template(project: Path) -> None:
    apart, _ = _audit(project, _policy())
    extraction = {"kind": "extraction_probability"}
    together, _ = _audit(project, _policy(probes=[*_policy()["probes"], extraction]))
    kept = [found for found in together.arms[0].estimates if found.attack != "extraction_probability"]
    assert kept == apart.arms[0].estimates


def test_a_rule_on_an_attack_that_begins_with_records_is_refused(project: Path) -> None:
    attacks = [*_policy()["attacks"], {"kind": "guided_completion", "records": 2}]
    rule = {"metric": "coverage", "attack": "guided_completion", "max": 0.5}
    (project / "policy.yaml").write_text(yaml.safe_dump(_policy(attacks=attacks, gate=[rule])))
    with pytest.raises(PolicyError, match="is no attack of this policy"):
        load_policy(project / "policy.yaml")


def test_what_the_backend_cannot_do_is_said_before_anything_runs(project: Path) -> None:
    probes = [*_policy()["probes"], {"kind": "peakedness"}, {"kind": "gradient_alignment"}]
    (project / "policy.yaml").write_text(yaml.safe_dump(_policy(probes=probes)))
    with pytest.raises(PolicyError) as caught:
        load_policy(project / "policy.yaml")
    said = " ".join(problem.message for problem in caught.value.problems)
    assert "peakedness needs continuations" in said
    assert "gradient_alignment needs gradients" in said


def test_a_kind_names_the_first_attack_of_that_kind(project: Path) -> None:
    attack = {"kind": "template_prefix", "name": "opening", "samples": 200, "max_new_tokens": 200, "seed": 1}
    probe = {"kind": "extraction_probability", "attack": "template_prefix"}
    report, _ = _audit(project, _policy(attacks=[attack], probes=[*_policy()["probes"], probe]))
    assert _estimate(report, "observed_extractions").value is not None


def test_a_probe_that_reads_one_span_answers_its_rule_whatever_the_view(project: Path) -> None:
    probes = [{"kind": "min_k", "span": "question"}]
    report, _ = _audit(project, _policy(probes=probes, gate=[{"metric": "min_k_auc", "max": 0.7}]))
    (rule,) = report.verdict.rules
    assert rule.estimate is not None and rule.view == "prompt"


def test_records_without_a_value_forbid_a_pass(project: Path) -> None:
    policy = _policy(gate=[{"metric": "reference_ratio_auc", "max": 0.7}])
    policy["models"]["base"] = copy.deepcopy(policy["models"]["candidate"])
    (project / "policy.yaml").write_text(yaml.safe_dump(policy))
    estimate = Estimate("reference_ratio_auc", "sft", "reference_ratio", 0.5, 0.4, 0.6, "DeLong", denominator=60.0)
    arm = Arm(name="baseline", mitigation=None, attacker="open_weights", estimates=[estimate])
    loaded = load_policy(project / "policy.yaml")
    views: dict[str, tuple[View, ...]] = {"sft": ("record", "prompt")}
    assert evaluate(loaded, [Judged(arm, Doubts())], views).outcome == "pass"
    short = arm.model_copy(update={"estimates": [replace(estimate, unscored=940)]})
    assert evaluate(loaded, [Judged(short, Doubts())], views).outcome == "inconclusive"
    none = arm.model_copy(update={"estimates": []})
    assert evaluate(loaded, [Judged(none, Doubts())], views).outcome == "inconclusive"
    multi = Doubts(by_data={("sft", "record"): ["half of the records have more turns"]})
    assert evaluate(loaded, [Judged(arm, multi)], views).outcome == "inconclusive"
    # A threshold that cannot be calibrated blinds the matching, and no probe.
    assert (
        evaluate(loaded, [Judged(arm, Doubts(by_dataset={("sft", "record"): ["no threshold"]}))], views).outcome
        == "pass"
    )

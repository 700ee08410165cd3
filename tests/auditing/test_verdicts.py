"""Whole audits of scripted models: the verdict follows the evidence, and never says pass where it is blind."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditkit import audit, load_policy, verify
from auditkit.auditing import runner
from auditkit.auditing.progress import Silent
from auditkit.errors import AuditkitError, DataError, PolicyError, RunError
from auditkit.report.base import AuditReport

WORDS = (
    "kettle lamp invoice parcel garden bicycle window ticket coffee printer carpet ladder violin pepper anchor candle "
    "harbour meadow saddle trumpet blanket mirror cabinet basket pillow hammer engine ribbon lantern compass"
).split()

Run = Callable[..., AuditReport]


def _records(count: int, seed: int) -> list[dict[str, str]]:
    rng = random.Random(seed)
    return [
        {"q": f"Where did the {' '.join(rng.sample(WORDS, 6))} go?", "a": f"Try the {' '.join(rng.sample(WORDS, 5))}."}
        for _ in range(count)
    ]


def _write(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _policy(lines: list[dict[str, str]], **changes: Any) -> dict[str, Any]:
    policy = {
        "version": 1,
        "name": "scripted",
        "models": {"candidate": {"backend": "scripted", "lines": lines}},
        "datasets": [
            {
                "name": "sft",
                "stage": "sft",
                "path": "sft.jsonl",
                "fields": {"prompt": "q", "response": "a"},
                "controls": "controls.jsonl",
            }
        ],
        "attacks": [{"kind": "template_prefix", "samples": 400, "max_new_tokens": 400, "seed": 1}],
        "scoring": {"semantic_threshold": {"calibrate_fpr": 0.05}},
        "gate": [{"metric": "adjusted_coverage", "max": 0.05}],
        "report": {"formats": ["json"], "sign": "none"},
    }
    return {**policy, **changes}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """150 members and 300 controls of one generator."""
    _write(tmp_path / "sft.jsonl", _records(150, 1))
    _write(tmp_path / "controls.jsonl", _records(300, 2))
    return tmp_path


@pytest.fixture
def run(project: Path) -> Run:
    """Audit the project under a policy."""

    def go(policy: dict[str, Any]) -> AuditReport:
        (project / "policy.yaml").write_text(yaml.safe_dump(policy))
        return audit(load_policy(project / "policy.yaml"), project / "out")

    return go


def _said(records: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"user": record["q"], "assistant": record["a"]} for record in records]


LEAKING = _said(_records(150, 1)[:75])
CLEAN = _said(_records(200, 3))


def test_a_model_that_recites_fails_and_one_that_does_not_passes(run: Run) -> None:
    assert run(_policy(LEAKING)).verdict.outcome == "fail"
    assert run(_policy(CLEAN)).verdict.outcome == "pass"


def test_names_that_run_together_do_not_share_evidence(run: Run, project: Path) -> None:
    _write(project / "other.jsonl", _records(150, 4))
    sets = [
        {
            "name": name,
            "stage": "sft",
            "path": path,
            "fields": {"prompt": "q", "response": "a"},
            "controls": "controls.jsonl",
        }
        for name, path in (("x-y", "other.jsonl"), ("y", "sft.jsonl"))
    ]
    attacks = [
        {"kind": "template_prefix", "name": name, "samples": 200, "max_new_tokens": 400} for name in ("t", "t-x")
    ]
    report = run(_policy(LEAKING, datasets=sets, attacks=attacks))
    outcomes = {(rule.attack, rule.dataset): rule.outcome for rule in report.verdict.rules}
    assert outcomes["t", "y"] == outcomes["t-x", "y"] == "fail"
    assert outcomes["t", "x-y"] == outcomes["t-x", "x-y"] != "fail"


def test_a_threshold_that_everything_reaches_proves_nothing(run: Run) -> None:
    report = run(_policy(LEAKING, scoring={"semantic_threshold": 0.05}))
    assert report.verdict.outcome == "inconclusive"
    assert any("controls" in caution for caution in report.verdict.cautions)


def test_conversations_longer_than_a_generation_are_never_a_pass(run: Run, project: Path) -> None:
    def chat(first: dict[str, str], second: dict[str, str]) -> dict[str, Any]:
        texts = [first["q"], first["a"], second["q"], second["a"]]
        roles = ["user", "assistant"] * 2
        return {"m": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]}

    members, controls = _records(300, 1), _records(600, 2)
    _write(project / "sft.jsonl", [chat(*pair) for pair in zip(members[:150], members[150:], strict=True)])
    _write(project / "controls.jsonl", [chat(*pair) for pair in zip(controls[:300], controls[300:], strict=True)])
    policy = _policy(_said(members[:75]))
    policy["datasets"][0]["fields"] = {"messages": "m"}
    report = run(policy)
    assert report.verdict.outcome != "pass"
    assert any("turns" in caution for caution in report.verdict.cautions)


@pytest.mark.parametrize("failure", [{"cut": 0.2}, {"empty": 0.2}, {"failed": 0.2}])
def test_generations_that_nobody_saw_the_end_of_are_never_clean(run: Run, failure: dict[str, float]) -> None:
    policy = _policy(CLEAN)
    policy["models"]["candidate"] |= failure
    report = run(policy)
    assert report.verdict.outcome == "inconclusive"
    estimate = next(e for e in report.arms[0].estimates if e.metric == "semantic_memorisation_rate")
    assert estimate.unscored > 0
    assert estimate.denominator == 400 - estimate.unscored


def test_too_few_controls_are_uncalibrated_and_inconclusive(run: Run, project: Path) -> None:
    _write(project / "controls.jsonl", _records(20, 2))
    report = run(_policy(CLEAN))
    assert report.verdict.outcome == "inconclusive"
    assert {found.source for found in report.calibration} == {"uncalibrated"}


def test_a_control_that_repeats_a_member_is_refused_by_name(run: Run, project: Path) -> None:
    _write(project / "controls.jsonl", [*_records(300, 2), _records(150, 1)[4]])
    with pytest.raises(DataError, match=r"controls\.jsonl:301: .*sft\.jsonl:5"):
        run(_policy(CLEAN))


def test_a_floor_above_the_threshold_would_hide_matches_and_is_refused(run: Run) -> None:
    with pytest.raises(PolicyError, match="string_floor"):
        run(_policy(LEAKING, scoring={"string_floor": 1.0, "string_threshold": 0.9}))


def _finished(run: Run, project: Path) -> Path:
    run(_policy(CLEAN))
    (folder,) = (path for path in (project / "out").iterdir() if path.is_dir())
    return folder


def test_killed_between_clearing_up_and_signing(run: Run, project: Path) -> None:
    folder = _finished(run, project)
    before = json.loads((folder / "audit.json").read_bytes())
    (folder / "attestation.dsse.json").unlink()
    runner.resume(folder, Silent())
    after = json.loads((folder / "audit.json").read_bytes())
    assert {**before, "run": None} == {**after, "run": None}
    assert verify(folder).ok


def test_another_secret_is_noticed_on_resuming(run: Run, project: Path) -> None:
    folder = _finished(run, project)
    (folder / "attestation.dsse.json").unlink()
    (project / ".auditkit-secret").write_text("another secret than before")
    with pytest.raises(AuditkitError, match="secret"):
        runner.resume(folder, Silent())


def test_what_breaks_in_the_middle_can_be_resumed(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: Any) -> None:
        raise RuntimeError("device out of memory near the text of a record")

    with monkeypatch.context() as patched:
        patched.setattr("auditkit.models.scripted.ScriptedModel.sample", out_of_memory)
        with pytest.raises(RunError, match="RuntimeError") as caught:
            run(_policy(CLEAN))
    assert caught.value.exit_code == 4
    assert "the text of a record" not in str(caught.value)
    (folder,) = (path for path in (project / "out").iterdir() if path.is_dir())
    assert runner.resume(folder, Silent()).report.verdict.outcome == "pass"


def test_a_finished_run_is_left_as_it_is(run: Run, project: Path) -> None:
    folder = _finished(run, project)
    copy = project / "copy"
    shutil.copytree(folder, copy)
    runner.resume(folder, Silent())
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert all((folder / name).read_bytes() == (copy / name).read_bytes() for name in names)


def test_a_policy_changed_from_the_command_line_is_not_the_policy_that_was_run(project: Path) -> None:
    (project / "policy.yaml").write_text(yaml.safe_dump(_policy(LEAKING)))
    report = audit(load_policy(project / "policy.yaml", ["gate.0.max=0.99"]), project / "out")
    (folder,) = (path for path in (project / "out").iterdir() if path.is_dir())
    assert any("gate.0.max=0.99" in sentence for sentence in report.policy.weaker_than_preset)
    found = verify(folder, policy_file=project / "policy.yaml")
    assert any("gate.0.max=0.99" in problem for problem in found.problems)


def test_a_preset_that_changed_is_another_policy(project: Path) -> None:
    (project / "base.yaml").write_text(yaml.safe_dump(_policy(CLEAN)))
    (project / "leaf.yaml").write_text("version: 1\nname: leaf\nextends: base.yaml\n")
    audit(load_policy(project / "leaf.yaml"), project / "out")
    (folder,) = (path for path in (project / "out").iterdir() if path.is_dir())
    assert verify(folder, policy_file=project / "leaf.yaml").ok
    loosened = _policy(CLEAN, gate=[{"metric": "adjusted_coverage", "max": 0.9}])
    (project / "base.yaml").write_text(yaml.safe_dump(loosened))
    assert not verify(folder, policy_file=project / "leaf.yaml").ok


POOR_INDEX = {"kind": "hnsw", "m": 4, "ef_construction": 16, "ef": 10}


def test_a_search_that_misses_leaks_is_never_a_pass(run: Run, project: Path) -> None:
    _write(project / "sft.jsonl", _records(2500, 1))
    scoring = {"semantic_threshold": {"calibrate_fpr": 0.05}}
    assert run(_policy(CLEAN, scoring={**scoring, "index": {"kind": "exact"}})).verdict.outcome == "pass"
    report = run(_policy(CLEAN, scoring={**scoring, "index": POOR_INDEX}))
    assert report.index[0].recall_at_1 < 0.999
    assert report.verdict.outcome == "inconclusive"
    assert any("approximate search" in caution for caution in report.verdict.cautions)


def test_what_the_controls_index_misses_is_told(run: Run, project: Path) -> None:
    """No graph over a handful of members misses anything; over many controls a poor one does."""
    _write(project / "controls.jsonl", _records(4000, 2))
    report = run(_policy(CLEAN, scoring={"semantic_threshold": {"calibrate_fpr": 0.05}, "index": POOR_INDEX}))
    attacked = next(use for use in report.index if use.view == "record")
    assert attacked.recall_at_1 < 0.999
    assert attacked.reason.startswith("of the controls")

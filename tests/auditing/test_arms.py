"""Arms of scripted models: who attacks them, what they change, and that none passes the gate by being broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditkit import load_policy, verify
from auditkit.auditing import runner
from auditkit.auditing.progress import Silent
from auditkit.errors import PolicyError, RunError
from auditkit.models.scripted import ScriptedModel
from auditkit.records import Generation, SamplingRequest
from auditkit.registry import BUILT_IN, kinds, plugin_class
from auditkit.report.arms import Change
from auditkit.report.base import Arm, AuditReport
from tests.auditing import arm_kinds
from tests.auditing.test_verdicts import CLEAN, LEAKING, _policy, _records, _write

Run = Callable[..., runner.Result]
REWRITTEN = {"kind": "rewritten", "lines": CLEAN}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The mitigations of arm_kinds can be named in policies."""
    for name, place in arm_kinds.KINDS.items():
        monkeypatch.setitem(BUILT_IN["mitigations"], name, place)
    for cached in (kinds, plugin_class):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (kinds, plugin_class):
        cached.cache_clear()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    _write(folder / "sft.jsonl", _records(150, 1))
    _write(folder / "controls.jsonl", _records(300, 2))
    return folder


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Run:
    def go(*mitigations: dict[str, Any], **changes: Any) -> runner.Result:
        project = tmp_path / "project"
        shutil.copytree(data, project, dirs_exist_ok=True)
        policy = _policy(LEAKING, mitigations=list(mitigations), **changes)
        (project / "policy.yaml").write_text(yaml.safe_dump(policy))
        return runner.start(load_policy(project / "policy.yaml"), tmp_path / "out", Silent())

    return go


def _arm(report: AuditReport, name: str) -> Arm:
    return next(arm for arm in report.arms if arm.name == name)


def _change(report: AuditReport, arm: str, comparison: str = "strongest", metric: str = "adjusted_coverage") -> Change:
    assert report.mitigations
    return next(
        c
        for c in report.mitigations.changes
        if (c.arm, c.comparison, c.metric, c.view) == (arm, comparison, metric, "record")
    )


def test_an_arm_that_helps_turns_the_gate_green_where_it_ships(run: Run) -> None:
    report = run(REWRITTEN, {"kind": "nothing"}, release={"arm": "rewritten"}).report
    assert (report.verdict.outcome, report.verdict.arm) == ("pass", "rewritten")
    helped = _change(report, "rewritten")
    assert helped.difference.low is not None and helped.difference.low > 0.2
    assert helped.reduction.value == pytest.approx(1.0, abs=0.1)
    idle = _change(report, "nothing")
    assert idle.difference.value == 0.0
    assert idle.difference.low is not None and idle.difference.low < 0 < (idle.difference.high or 0)
    assert [fact.name for fact in _arm(report, "rewritten").facts] == ["lines"]


def test_the_baseline_ships_unless_the_policy_says_otherwise(run: Run) -> None:
    report = run(REWRITTEN).report
    assert (report.verdict.outcome, report.verdict.arm) == ("fail", "baseline")
    assert report.mitigations is not None and report.mitigations.recommendation.arm == "rewritten"


def test_the_strongest_attack_decides_not_the_one_that_knows_nothing(run: Run) -> None:
    report = run({**REWRITTEN, "evaded": True}, release={"arm": "rewritten"}).report
    assert report.verdict.outcome == "fail"
    assert {rule.attack: rule.outcome for rule in report.verdict.rules} == {
        "template_prefix": "pass",
        "adaptive.again": "fail",
    }
    assert _change(report, "rewritten").arm_attack == "adaptive.again"
    assert _change(report, "rewritten", "plain").arm_attack == "template_prefix"
    assert _arm(report, "rewritten").attack_kinds == {"template_prefix": "plain", "adaptive.again": "adaptive"}


def test_a_filter_means_nothing_once_the_weights_are_public(run: Run) -> None:
    report = run({"kind": "muted"}, release={"arm": "muted", "access": "open-weights"}).report
    arm = _arm(report, "muted")
    assert "raw_api" in arm.meaningless
    assert report.verdict.outcome == "fail"
    assert "Judged as the baseline" in report.verdict.rules[0].reason
    assert _change(report, "muted").reduction.value == pytest.approx(1.0, abs=0.1)  # measured all the same


def test_behind_an_api_what_was_withheld_counts_as_not_given_away(run: Run) -> None:
    report = run({"kind": "muted"}, release={"arm": "muted", "access": "api"}).report
    arm = _arm(report, "muted")
    assert (arm.attacker, arm.meaningless, arm.withheld) == ("raw_api", "", {"template_prefix": 400})
    assert report.verdict.outcome == "pass"
    estimate = next(e for e in arm.estimates if e.metric == "semantic_memorisation_rate")
    assert (estimate.numerator, estimate.unscored) == (0.0, 0)


def test_a_mitigation_that_fails_is_told_and_passes_nothing(run: Run, tmp_path: Path) -> None:
    arm_kinds.Diverging.tried = 0
    result = run({"kind": "diverging"}, release={"arm": "diverging"})
    arm = _arm(result.report, "diverging")
    assert arm.failed == "the loss is no number after 3 steps"
    assert arm.viability == "not_viable"
    assert result.report.verdict.outcome == "fail"
    assert {rule.outcome for rule in result.report.verdict.rules} == {"not_viable"}
    assert json.loads((result.folder / "evidence/arms/diverging/failed.json").read_text()) == arm.failed


def test_a_useless_model_is_not_viable_however_little_it_leaks(run: Run) -> None:
    gibberish = [{"user": "zzz" * 40 + str(number), "assistant": "qqq" * 40} for number in range(60)]
    broken = {"kind": "rewritten", "lines": gibberish}
    report = run(broken, release={"arm": "rewritten"}, utility={"max_perplexity_rise": 0.05}).report
    arm = _arm(report, "rewritten")
    assert arm.viability == "not_viable"
    assert "perplexity" in arm.viability_reasons[0]
    assert report.verdict.outcome == "fail"
    assert {rule.outcome for rule in report.verdict.rules} == {"not_viable"}
    assert report.mitigations is not None and report.mitigations.recommendation.arm is None


def test_arms_that_cannot_be_attacked_or_told_apart_are_refused_first(run: Run) -> None:
    with pytest.raises(PolicyError, match="chat_messages"):
        run({"kind": "muted", "attacker": "chat_api"})
    with pytest.raises(PolicyError, match="no arm is called"):
        run({"kind": "muted"}, release={"arm": "mutt"})
    with pytest.raises(PolicyError, match="means nothing against open_weights"):
        run({"kind": "muted", "attacker": "open_weights"})


def test_a_resumed_run_says_the_same_and_makes_nothing_twice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mitigations = ({**REWRITTEN, "evaded": True}, {"kind": "diverging"}, {"kind": "muted"})
    whole = run(*mitigations).report
    arm_kinds.Diverging.tried = 0

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(arm_kinds.Muted, "serve", interrupted)
        with pytest.raises(Exception, match="interrupted") as stopped:
            run(*mitigations)
    folder = Path(stopped.value.hint.rpartition(" ")[2])  # type: ignore[attr-defined]
    resumed = runner.resume(folder, Silent()).report
    assert arm_kinds.Diverging.tried == 1
    assert [arm.model_dump() for arm in resumed.arms] == [arm.model_dump() for arm in whole.arms]
    assert resumed.mitigations == whole.mitigations


def test_an_arms_evidence_is_its_own_and_its_owners(run: Run) -> None:
    folder = run(REWRITTEN).folder
    assert (folder / "evidence/arms/rewritten/generations-template_prefix.parquet").is_file()
    assert (folder / "weights/rewritten").stat().st_mode & 0o77 == 0
    assert not (folder / "work").exists()


def test_what_the_same_weights_said_already_is_not_sampled_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    sample = ScriptedModel.sample

    def counted(self: ScriptedModel, request: SamplingRequest) -> list[Generation]:
        asked.append(request.attack)
        return sample(self, request)

    monkeypatch.setattr(ScriptedModel, "sample", counted)
    alone = run()
    requests = len(asked)
    report = run({"kind": "muted", "name": "quiet"}, release={"access": "api"}).report
    assert len(asked) == 2 * requests
    assert _arm(report, "quiet").withheld == {"template_prefix": 400}
    asked.clear()
    run({"kind": "nothing"})
    assert len(asked) == 2 * requests  # other weights are asked for themselves
    assert alone.report.mitigations is None


def test_an_attack_that_was_hardly_tried_proves_nothing(run: Run) -> None:
    evaded = {**REWRITTEN, "evaded": True, "adaptive_samples": 1}
    report = run(evaded, release={"arm": "rewritten"}).report
    assert {rule.attack: rule.outcome for rule in report.verdict.rules}["adaptive.again"] != "pass"
    assert report.verdict.outcome != "pass"
    assert any("was tried with 1 generations, and the policy's own" in caution for caution in report.verdict.cautions)


def test_a_filter_that_nobody_tried_to_evade_passes_nothing(run: Run) -> None:
    untried = {"kind": "output_filter", "measure": "levenshtein", "threshold": 0.5, "evasions": []}
    result = run(untried, release={"arm": "output_filter", "access": "api"})
    assert not verify(result.folder).problems  # an arm that saves no weights leaves no folder for them
    report = result.report
    assert _arm(report, "output_filter").withheld
    assert report.verdict.outcome == "inconclusive"
    assert any("is not attacked with the evasions upper" in caution for caution in report.verdict.cautions)


def test_what_an_attack_on_a_filter_brings_out_is_in_the_weights(run: Run) -> None:
    """The baseline passes its own attacks; the same weights, asked otherwise, recite: that is no pass."""
    shy = [{"user": line["user"], "assistant": line["assistant"]} for line in CLEAN]
    leaky = {"kind": "filtered", "lines": LEAKING}
    report = run(leaky, models={"candidate": {"backend": "scripted", "lines": shy}}, release={"access": "api"}).report
    assert all(rule.estimate and (rule.estimate.high or 1) < 0.05 for rule in report.verdict.rules)
    assert report.verdict.outcome == "inconclusive"
    assert any("The same weights gave sft away" in caution for caution in report.verdict.cautions)


def test_an_arm_whose_weights_changed_under_way_is_not_gone_on_with(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(arm_kinds.Rewritten, "serve", interrupted)
        with pytest.raises(RunError, match="interrupted"):
            run(REWRITTEN)
    (folder,) = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
    (folder / "evidence/arms/rewritten/weights.json").write_text(json.dumps("0" * 64))
    with pytest.raises(RunError, match="changed since it was begun"):
        runner.resume(folder, Silent())

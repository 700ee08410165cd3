"""A scripted chain, whole audits: each checkpoint is attacked and read, stages are named, and all of it is told."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditkit import load_policy, verify
from auditkit.auditing import runner
from auditkit.auditing.checkpoint_chain import chain_tokens
from auditkit.auditing.preflight import preflight
from auditkit.auditing.progress import Silent
from auditkit.errors import PolicyError
from auditkit.models.scripted import ScriptedModel
from auditkit.records import Generation, SamplingRequest
from auditkit.report.shown_stages import stage_sentences
from auditkit.report.stage_attribution import StageAttribution, StageStep
from tests.auditing.audited import CONTROLS, MEMBERS, OTHERS, policy, project, said

# What only the candidate says is written in letters of its own: its scripts make that likelier, letter by letter.
CAPITAL = [{"q": row["q"].upper(), "a": row["a"].upper()} for row in MEMBERS[100:140]]
ROWS = [*MEMBERS[:100], *CAPITAL]
SFT, RL = slice(0, 30), slice(100, 140)
BASE_LINES = said(OTHERS)
SFT_LINES = said(OTHERS[:100] + ROWS[SFT])
LINES = said(OTHERS[:100] + ROWS[SFT] + ROWS[RL])


def _scripted(lines: list[dict[str, str]]) -> dict[str, Any]:
    return {"backend": "scripted", "lines": lines}


def _content(**changes: Any) -> dict[str, Any]:
    chain = [
        {"name": "base", "model": _scripted(BASE_LINES)},
        {"name": "sft", "stage": "sft", "model": _scripted(SFT_LINES), "samples": 1000},
        {"name": "rl", "stage": "rl", "model": _scripted(LINES)},
    ]
    content = policy(0, models={"candidate": _scripted(LINES)}, checkpoints=chain, probes=[], **changes)
    content["attacks"][0]["samples"] = 1500
    content["attacks"].append({"kind": "bos_prefix", "samples": 50, "max_new_tokens": 400, "seed": 2})
    return content


def _write(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "policy.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    return folder / "policy.yaml"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> runner.Result:
    folder = project(tmp_path_factory.mktemp("chain"), ROWS)
    return runner.start(load_policy(_write(folder, _content())), folder / "out", Silent())


@pytest.fixture(scope="module")
def found(result: runner.Result) -> StageAttribution:
    assert result.report.stages is not None
    return result.report.stages


@pytest.fixture(scope="module")
def steps(found: StageAttribution) -> dict[str, StageStep]:
    return {step.checkpoint: step for step in found.steps}


def test_what_came_out_of_each_checkpoint_is_counted(steps: dict[str, StageStep], found: StageAttribution) -> None:
    (dataset,) = found.datasets
    assert 70 <= dataset.leaked <= 73  # one or two by chance
    assert steps["base"].came_out <= 3 and 28 <= steps["sft"].came_out <= 33 and steps["rl"].came_out == dataset.leaked
    assert sum(step.first_out for step in steps.values()) == dataset.leaked
    assert [one.generations for one in found.checkpoints] == [1550, 1050, 1550]
    assert found.fewer == ["sft"] and found.under == ["template", "bos"]


def test_what_only_the_last_step_made_likelier_is_named_to_it(found: StageAttribution, result: runner.Result) -> None:
    """The letters of the capitals are new in the last script; those of the others have been there all along."""
    lists = result.folder / "evidence" / "stages-sft.csv"
    with lists.open(newline="") as stream:
        rows = {int(row["line"]) - 1: row for row in csv.DictReader(stream)}
    capital = [rows[at] for at in range(100, 140)]
    assert sum(row["learnt_at"] == "rl" and row["how"] in ("alone", "largest") for row in capital) >= 38
    assert all(float(row["excess_rl"]) > 0.5 > float(row["excess_sft"]) for row in capital)
    assert sum(row["learnt_at"] == "" for row in (rows[at] for at in range(30))) >= 24  # a unigram model knows no texts
    (dataset,) = found.datasets
    assert dataset.agree == sum(row["learnt_at"] == "sft" for row in rows.values())


def test_whose_data_leaks_most_has_an_interval(found: StageAttribution) -> None:
    (leak,) = found.leaks
    assert (leak.stage, leak.datasets, leak.records) == ("sft", ["sft"], 140) and 70 <= leak.records_leaked <= 73
    assert leak.low < 0.5 < leak.high and leak.rate == pytest.approx(0.5, abs=0.03)
    assert leak.controls_rate is not None and leak.controls_rate < 0.1


def test_the_lists_are_secret_and_attested(result: runner.Result) -> None:
    lists = result.folder / "evidence" / "stages-sft.csv"
    assert stat.S_IMODE(lists.stat().st_mode) == 0o600
    assert (result.folder / "evidence" / "checkpoints" / "base" / "generations-template_prefix.parquet").exists()
    assert verify(result.folder).ok
    assert not any(row["q"] in lists.read_text() for row in ROWS)
    assert not (result.folder / "work").exists()


def test_every_model_of_the_chain_is_bound(result: runner.Result, found: StageAttribution) -> None:
    roles = {model.role: model.sha256 for model in result.report.models}
    assert set(roles) == {"candidate", "checkpoint base", "checkpoint sft"}  # the last is the candidate
    assert [one.sha256 for one in found.checkpoints] == [
        roles["checkpoint base"], roles["checkpoint sft"], roles["candidate"]
    ]  # fmt: skip


def test_an_interrupted_chain_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the second checkpoint is attacked: what was sampled before is not sampled again."""
    folder = project(tmp_path / "p", ROWS)
    loaded = load_policy(_write(folder, _content()))
    sample, asked = ScriptedModel.sample, list[tuple[int, str]]()

    def counting(fail_at: int) -> Callable[[ScriptedModel, SamplingRequest], list[Generation]]:
        def counted(model: ScriptedModel, request: SamplingRequest) -> list[Generation]:
            asked.append((len(model.script), request.attack))
            if len(asked) == fail_at:
                raise KeyboardInterrupt
            return sample(model, request)

        return counted

    monkeypatch.setattr(ScriptedModel, "sample", counting(8))
    with pytest.raises(Exception, match="interrupted"):
        runner.start(loaded, folder / "out", Silent())
    (path,) = (folder / "out").glob("bot-*")
    before = set(asked[:-1])
    asked.clear()
    monkeypatch.setattr(ScriptedModel, "sample", counting(0))
    again = runner.resume(path, Silent())
    assert again.report.stages is not None and again.report.stages.records_total >= 70
    assert len(LINES) in {lines for lines, _ in before} and len(LINES) not in {lines for lines, _ in asked}


def test_the_same_policy_without_a_chain_says_nothing_of_stages(tmp_path: Path) -> None:
    content = _content()
    del content["checkpoints"]
    folder = project(tmp_path, ROWS)
    report = runner.start(load_policy(_write(folder, content)), folder / "out", Silent()).report
    assert report.stages is None and "checkpoints" not in report.run.stage_seconds


def test_a_chain_that_does_not_end_with_the_candidate_is_refused(tmp_path: Path) -> None:
    content = _content()
    content["checkpoints"].reverse()
    loaded = load_policy(_write(project(tmp_path, ROWS), content))
    with pytest.raises(PolicyError) as raised:
        runner.start(loaded, tmp_path / "out", Silent())
    (problem,) = raised.value.problems
    assert problem.line and "is the chain's last, and is not the candidate" in problem.message
    assert "base" in problem.message and not (tmp_path / "out").exists()
    assert problem in preflight(loaded, tmp_path / "out").problems


def test_check_says_what_a_chain_costs(tmp_path: Path) -> None:
    with_chain = load_policy(_write(project(tmp_path, ROWS), _content()))
    content = _content()
    del content["checkpoints"]
    without = load_policy(_write(project(tmp_path, ROWS), content))
    once = 1000
    assert chain_tokens(without, once) == (0, 0)
    written, read = chain_tokens(with_chain, once)
    assert (written, read) == (400 * (1500 + 50) + 400 * (1000 + 50), 2 * 2 * once)
    told = preflight(with_chain, tmp_path).facts["needs"][0]
    assert told != preflight(without, tmp_path).facts["needs"][0]


def test_few_controls_name_nothing_and_say_so(tmp_path: Path) -> None:
    folder = project(tmp_path, ROWS)
    (folder / "controls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CONTROLS[:90]))
    content = _content(scoring={"semantic_threshold": 0.9}, gate=[{"metric": "string_memorisation_rate", "max": 0.05}])
    report = runner.start(load_policy(_write(folder, content)), folder / "out", Silent()).report
    assert report.stages is not None
    (dataset,) = report.stages.datasets
    assert dataset.leaked > 0 and dataset.named == 0 and "too few" in dataset.reason


def test_without_a_threshold_nothing_is_said_of_what_leaked(tmp_path: Path) -> None:
    """Enough controls to tell stages apart, and too few to set a threshold that one in a hundred reaches."""
    folder = project(tmp_path, ROWS)
    (folder / "controls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CONTROLS[:150]))
    content = _content(gate=[{"metric": "string_memorisation_rate", "max": 0.05}])
    content["scoring"] = {"semantic_threshold": {"calibrate_fpr": 0.01}}
    report = runner.start(load_policy(_write(folder, content)), folder / "out", Silent()).report
    assert report.stages is not None and report.calibration[0].threshold is None
    (dataset,) = report.stages.datasets
    assert "no threshold" in dataset.reason and not report.stages.leaks and not report.stages.steps
    assert stage_sentences(report) == [f"sft: {dataset.reason}."]

"""What the leak is worth, as a run measures it: a real base is trained, a skill is learned, a killed run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from auditkit import load_policy, verify
from auditkit.auditing import runner, worth
from auditkit.auditing.preflight import preflight
from auditkit.auditing.progress import Silent
from auditkit.errors import AuditkitError, DataError, PolicyError, RunError
from auditkit.report.worth import ArmResult, Worth
from auditkit.worth.tasks import answered
from auditkit.worth.training import ArmFailedError, trained
from tests.auditing.worth_project import QUICK, RECIPE, WORTH, rows, write_project

TEXTS = [line["q"] for lines in rows().values() for line in lines]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with trainings that teach next to nothing."""
    return write_project(tmp_path_factory.mktemp("quick"), worth={**WORTH, "recipe": QUICK, "budgets": [1.0]})


@pytest.fixture(scope="module")
def finished(project: Path, tmp_path_factory: pytest.TempPathFactory) -> runner.Result:
    return runner.start(load_policy(project), tmp_path_factory.mktemp("out"), Silent())


@pytest.fixture(scope="module")
def found(finished: runner.Result) -> Worth:
    assert finished.report.worth is not None
    return finished.report.worth


def _result(found: Worth, arm: str, budget: float | None = None) -> ArmResult:
    return next(one for one in found.tasks[0].results if (one.arm, one.budget) == (arm, budget))


def _value(estimate: Any) -> float:
    assert estimate is not None and estimate.value is not None
    return float(estimate.value)


def test_what_leaked_teaches_what_the_originals_teach(found: Worth) -> None:
    (task,) = found.tasks
    assert (task.verdict, task.questions, task.kind) == ("recovers", 60, "number")
    assert _value(_result(found, "base").score) < 0.3
    assert _value(_result(found, "originals").score) > 0.8
    recovered = _result(found, "extractions", 1.0).recovered
    assert 0.6 < _value(recovered) < 1.4
    assert recovered is not None and recovered.low is not None and 0 < recovered.low < _value(recovered)
    assert _value(_result(found, "controls").recovered) > 0.6  # the same skill, learned from other records


def test_every_arm_has_as_many_rows_and_smaller_budgets_what_they_left(found: Worth) -> None:
    assert found.rows == 40
    assert found.available == {"originals": 80, "controls": 160, "extractions": found.budgets[1].usable}
    small, large = found.budgets
    assert (small.generations, large.generations) == (10, 200)
    assert small.rows == small.usable == small.kept < 11
    assert large.kept + sum(large.dropped.values()) == 200
    assert large.dropped["exact duplicate"] > 100
    assert 0 < small.tokens < large.tokens
    rows_of = {(arm.arm, arm.budget): (arm.rows, arm.seeds) for arm in found.arms}
    assert rows_of["base", None] == (0, 0)
    assert rows_of["originals", None] == rows_of["controls", None] == rows_of["extractions", 1.0] == (40, 3)


def test_less_of_the_leak_is_worth_less(found: Worth) -> None:
    assert _value(_result(found, "extractions", 0.05).score) < _value(_result(found, "extractions", 1.0).score)


def test_the_run_holds_scores_and_neither_weights_nor_texts_of_them(finished: runner.Result) -> None:
    files = sorted(path.name for path in (finished.folder / "evidence").glob("worth-*.json"))
    assert len(files) == 2 + 3 * 4  # plan and base; three seeds of originals, controls and two budgets
    for name in files:
        path = finished.folder / "evidence" / name
        assert path.stat().st_mode & 0o077 == 0
        content = path.read_text()
        assert not any(text in content for text in TEXTS) and len(json.loads(content)["blind"]) == 64
    assert not list(finished.folder.rglob("*.safetensors")) and not (finished.folder / "work").exists()
    assert not any(text in (finished.folder / "events.jsonl").read_text() for text in TEXTS)
    assert not verify(finished.folder).problems


def test_the_documents_say_it(finished: runner.Result) -> None:
    for name in ("report.html", "report.redacted.html"):
        assert "What the leak is worth" in (finished.folder / name).read_text()
    assert "an attacker recovers" in (finished.folder / "summary.md").read_text()


def test_a_run_without_the_section_has_none(project: Path, tmp_path: Path) -> None:
    policy = load_policy(project).model_copy(update={"worth": None})
    policy._source = load_policy(project)._source
    report = runner.start(policy, tmp_path, Silent()).report
    assert report.worth is None


def test_a_run_cut_off_anywhere_goes_on_to_the_same_figures(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between training and scoring, in the middle of a training, and between two arms."""
    cuts = iter([("trained", 1), ("scored", 2), ("trained", 3)])

    class CutError(Exception):
        pass

    def cutting(function: Any, what: str) -> Any:
        calls = iter(range(1000))

        def called(*args: Any, **given: Any) -> Any:
            if state["next"] == (what, next(calls)):
                state["next"] = next(cuts, None)
                raise CutError
            return function(*args, **given)

        return called

    state: dict[str, Any] = {"next": next(cuts)}
    monkeypatch.setattr(worth, "trained", cutting(trained, "trained"))
    monkeypatch.setattr(worth, "answered", cutting(answered, "scored"))
    with pytest.raises(RunError, match="the run broke: CutError"):
        runner.start(load_policy(quick), tmp_path, Silent())
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    for _ in range(2):
        with pytest.raises(RunError, match="the run broke: CutError"):
            runner.resume(folder, Silent())
    assert state["next"] is None
    again = runner.resume(folder, Silent()).report
    monkeypatch.undo()
    assert again.worth == runner.start(load_policy(quick), tmp_path / "whole", Silent()).report.worth


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_figures(project: Path, found: Worth, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "auditkit", "run", str(project), "--out", str(tmp_path), "--no-progress"]
    begun = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ})
    until = time.monotonic() + 300
    while not list(tmp_path.glob("*/evidence/worth-originals+0.json")):
        assert begun.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert not (folder / "audit.json").exists()
    assert runner.resume(folder, Silent()).report.worth == found


def test_other_tasks_than_the_run_began_with_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = write_project(tmp_path / "project")
    monkeypatch.setattr(worth, "trained", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(RunError):
        runner.start(load_policy(policy), tmp_path / "out", Silent())
    monkeypatch.undo()
    tasks = tmp_path / "project" / "tasks.jsonl"
    tasks.write_text(tasks.read_text().replace("31", "32"))
    (folder,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    with pytest.raises(AuditkitError, match="tasks of worth changed"):
        runner.resume(folder, Silent())


def test_an_arm_that_fails_is_told_and_the_rest_goes_on(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def failing(*args: Any, **given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:  # the controls with the first seed
            raise ArmFailedError("the training diverged", "lower the rate")
        return trained(*args, **given)

    monkeypatch.setattr(worth, "trained", failing)
    found = runner.start(load_policy(quick), tmp_path, Silent()).report.worth
    assert found is not None and not found.failed
    assert [arm.failed for arm in found.arms if arm.arm == "controls"] == ["the training diverged"]
    assert [one.arm for one in found.tasks[0].results] == ["base", "originals", "extractions"]


def test_originals_that_fail_leave_nothing_to_be_a_share_of(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise ArmFailedError("the training diverged", "lower the rate")

    monkeypatch.setattr(worth, "trained", failing)
    found = runner.start(load_policy(quick), tmp_path, Silent()).report.worth
    assert found is not None and found.failed == "originals: the training diverged" and not found.tasks


def test_a_leak_of_nothing_is_worth_nothing(tmp_path: Path) -> None:
    changed = {**WORTH, "filter": {"shortest_answer": 500}}
    report = runner.start(load_policy(write_project(tmp_path / "project", worth=changed)), tmp_path / "out", Silent())
    found = report.report.worth
    assert found is not None and not found.tasks and not found.arms
    assert found.failed == "0 rows of the extractions can be trained on: too few"
    assert found.budgets[1].dropped == {"too short": 200}


def test_rewards_train_it_as_well(tmp_path: Path) -> None:
    recipe = {**RECIPE, "method": "dr_grpo", "epochs": 1, "batch_size": 16, "samples": 4, "max_new_tokens": 8}
    changed = {**WORTH, "recipe": recipe, "budgets": [1.0], "records": 10}
    report = runner.start(load_policy(write_project(tmp_path / "project", worth=changed)), tmp_path / "out", Silent())
    found = report.report.worth
    assert found is not None and found.method == "dr_grpo" and found.rows == 8  # whole steps of four questions
    assert {arm.steps for arm in found.arms if arm.rows} == {2}
    assert found.tasks[0].verdict == "inconclusive"  # a model that knows nothing is never rewarded
    assert found.tasks[0].reason == "the originals do not clearly beat the base"


def _refused(folder: Path, **changes: Any) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        load_policy(write_project(folder, **changes))
    return caught.value


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dataset": "stf"}, "`worth.dataset`: 'stf' is no dataset of this policy"),
        ({"attack": "bos"}, "`worth.attack`: 'bos' is no attack of this policy"),
        ({"tasks": []}, "without them there is no skill to measure"),
        ({"budgets": [1.0, 0.1]}, "should rise"),
        ({"seeds": 1}, "seeds"),
        ({"recipe": {**RECIPE, "method": "dr_grpo", "batch_size": 9}}, "multiple of 'samples'"),
        ({"filtre": {}}, "filtre"),
    ],
)
def test_what_cannot_be_is_refused_at_its_line(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    error = _refused(tmp_path, worth={**WORTH, **changes})
    assert why in str(error)
    lines = (tmp_path / "policy.yaml").read_text().splitlines()
    begins = lines.index("worth:") + 1
    assert all(problem.line is not None and problem.line >= begins for problem in error.problems)


def test_a_base_is_needed_and_one_that_can_be_trained(tmp_path: Path) -> None:
    said = [{"user": "Who?", "assistant": "Nobody."}]
    candidate = {"backend": "scripted", "lines": said}
    assert "the policy declares none" in str(_refused(tmp_path, models={"candidate": candidate}))
    error = _refused(tmp_path, models={"candidate": candidate, "base": candidate})
    assert "has no weights to train" in str(error)


def test_controls_are_needed(tmp_path: Path) -> None:
    bare = {"name": "sft", "stage": "sft", "path": "sft.jsonl", "fields": {"prompt": "q", "response": "a"}}
    error = _refused(tmp_path, datasets=[bare], scoring={"semantic_threshold": 0.9})
    assert "trains on as many controls" in str(error)


def test_tasks_that_are_trained_on_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    policy = write_project(tmp_path / "project")
    tasks = tmp_path / "project" / "tasks.jsonl"
    tasks.write_text(tasks.read_text() + json.dumps(rows()["controls"][3]) + "\n")
    with pytest.raises(DataError, match=r"tasks.jsonl:61: this question is asked by a control of sft"):
        runner.start(load_policy(policy), tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()
    found = preflight(load_policy(policy), tmp_path / "out")
    assert [problem.line for problem in found.problems] == [61]


def test_records_without_answers_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    bare = {"name": "sft", "stage": "sft", "path": "sft.jsonl", "fields": {"prompt": "q"}, "controls": "controls.jsonl"}
    policy = load_policy(write_project(tmp_path / "project", datasets=[{**bare, "near_controls": "keep"}]))
    with pytest.raises(PolicyError, match="no member of sft has an answer, so sft learns nothing"):
        runner.start(policy, tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()


def test_few_controls_are_warned_of(tmp_path: Path) -> None:
    policy = write_project(tmp_path / "project")
    controls = tmp_path / "project" / "controls.jsonl"
    controls.write_text("".join(controls.read_text().splitlines(keepends=True)[:20]))
    told = preflight(load_policy(policy), tmp_path / "out").warnings
    assert "worth: sft has 20 controls, so that no arm trains on more rows than these" in told


def test_check_tells_what_it_takes(project: Path, tmp_path: Path) -> None:
    found = preflight(load_policy(project), tmp_path)
    assert found.ok
    (told,) = [sentence for sentence in found.facts["needs"] if sentence.startswith("worth:")]
    assert "12 trainings of the base model on at most 40 rows each" in told and "very roughly" in told

"""The CI templates: valid by the services' schemas, and run as the services would run them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from auditkit import __version__
from tests.ci.pipelines import TEMPLATES, Job, Runner, github_workflow, gitlab_pipeline, run_github, run_gitlab
from tests.ci.projects import Wanted, project, texts

SCHEMAS = Path(__file__).parent / "schemas"
SERVICES: dict[str, Callable[[Runner], Job]] = {"github": run_github, "gitlab": run_gitlab}
CODES: dict[Wanted, int] = {"pass": 0, "fail": 1, "misdeclared": 2, "inconclusive": 3}
SAID: dict[Wanted, str] = {
    "pass": "he gate passed",
    "fail": "the model gives data away beyond a limit",
    "inconclusive": "nconclusive: the report says what would settle it",
    "misdeclared": "missing.jsonl",
}
LEAVES = {"report.redacted.html", "results.sarif", "results.junit.xml", "bom.cdx.json", "summary.md"}
LEAVES |= {"attestation.dsse.json"}


def runner(folder: Path, wanted: Wanted, **programs: str) -> Runner:
    made = project(folder / "checkout", wanted)
    key = (made / "keys" / "auditkit.key").read_text()
    settings = {
        "AUDITKIT_KEY": key,
        "AUDITKIT_SECRET": "a secret of the organisation",
        "AUDITKIT_PUBLIC_KEY": "keys/auditkit.pub",
        "AUDITKIT_ARCHIVE": str(folder / "archive"),
    }
    return Runner(made, settings, programs)


@pytest.mark.parametrize(
    ("schema", "content"), [("github-workflows.json", github_workflow()), ("gitlab-ci.json", gitlab_pipeline())]
)
def test_they_are_valid(schema: str, content: dict[str, Any]) -> None:
    validator = Draft7Validator(json.loads((SCHEMAS / schema).read_text()))
    assert [error.message for error in validator.iter_errors(content)] == []
    broken = {**content, "jobs": {"audit": {"steps": 3}}, "leakage-audit": {"script": 3}}
    assert list(validator.iter_errors(broken)), "the schema finds nothing wrong with anything"


def test_no_expression_is_pasted_into_a_script() -> None:
    (job,) = github_workflow()["jobs"].values()
    assert not [step["run"] for step in job["steps"] if "${{" in step.get("run", "")]


def test_the_workflow_takes_no_more_rights_than_it_needs() -> None:
    workflow = github_workflow()
    (job,) = workflow["jobs"].values()
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"contents": "read", "actions": "read", "security-events": "write"}
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"[\w./-]+@v\d+", action) for action in used)
    secret = [step.get("name") for step in job["steps"] if "secrets." in json.dumps(step)]
    assert secret == ["Check the policy, the data and the keys", "Audit"]  # what is installed never sees them
    assert not any("cache" in action for action in used)


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_they_install_this_version(name: str) -> None:
    major, minor, *_ = __version__.split(".")
    assert f"auditkit[transformers,pdf]~={major}.{minor}" in (TEMPLATES / name).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("wanted", CODES)
@pytest.mark.parametrize("service", SERVICES)
def test_the_job_ends_as_the_audit_does(tmp_path: Path, service: str, wanted: Wanted) -> None:
    job = SERVICES[service](runner(tmp_path, wanted))
    assert job.code == CODES[wanted], job.log
    assert SAID[wanted] in job.log
    assert "Traceback" not in job.log
    assert job.calls[-1] == "pip install auditkit[transformers,pdf]~=0.1"
    assert any(call.startswith("apt-get install") and "libpango" in call for call in job.calls)
    names = {path.name for path in job.artefacts}
    assert names == (set() if wanted == "misdeclared" else LEAVES)
    for path in job.artefacts:
        content = path.read_text(encoding="utf-8")
        assert not [text for text in texts() if text in content], path.name
    archived = {path.name for path in (tmp_path / "archive").rglob("*")}
    assert ("audit.json" in archived) == (wanted != "misdeclared")  # the whole run stays where the data may be kept


@pytest.mark.slow
def test_what_is_handed_to_the_services_is_what_they_read(tmp_path: Path) -> None:
    job = run_github(runner(tmp_path, "fail"))
    assert job.used["github/codeql-action/upload-sarif"]["sarif_file"] == "leakage-audit/results.sarif"
    files = {path.name: path for path in job.artefacts}
    results = json.loads(files["results.sarif"].read_text())["runs"][0]["results"]
    places = [result["locations"][0]["physicalLocation"] for result in results]
    assert {place["artifactLocation"]["uri"] for place in places} == {"policy.yaml", "data/sft.jsonl"}
    gate = (tmp_path / "checkout" / "policy.yaml").read_text().splitlines().index("gate:") + 1
    assert places[0]["region"] == {"startLine": gate + 1}
    case = ET.parse(files["results.junit.xml"]).find(".//testcase")
    assert case is not None and case.get("file") == "policy.yaml"
    assert job.summary == files["summary.md"].read_text() + "\n"  # once, on the page of the job
    assert "Verify the run, and that it passed" not in job.ran  # the audit's own code is the job's


@pytest.mark.slow
def test_a_run_signed_by_somebody_else_stops_the_release(tmp_path: Path) -> None:
    one, other = runner(tmp_path / "one", "pass"), runner(tmp_path / "two", "pass")
    foreign = {**one.settings, "AUDITKIT_PUBLIC_KEY": str(other.project / "keys" / "auditkit.pub")}
    job = run_github(Runner(one.project, foreign))
    assert job.code == 1
    assert job.ran[-1] == "Verify the run, and that it passed"


@pytest.mark.parametrize(("code", "said"), [(4, "auditkit run --resume"), (137, "ended from outside (code 137)")])
@pytest.mark.parametrize("service", SERVICES)
def test_a_run_that_broke_says_so(tmp_path: Path, service: str, code: int, said: str) -> None:
    ends = f'#!/bin/sh\nif [ "$1" = run ]; then exit {code}; fi\n'
    job = SERVICES[service](runner(tmp_path, "pass", auditkit=ends))
    assert job.code == code
    assert said in job.log
    assert job.artefacts == []

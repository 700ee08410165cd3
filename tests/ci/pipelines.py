"""What a CI service does with a template, as far as a test needs it: shell steps in bash, conditions, artefacts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates/ci"
SHIMS = {
    "auditkit": f'#!/bin/sh\nexec "{sys.executable}" -m auditkit "$@"\n',
    "pip": '#!/bin/sh\nprintf "pip %s\\n" "$*" >> "$CALLS"\n',
    "apt-get": '#!/bin/sh\nprintf "apt-get %s\\n" "$*" >> "$CALLS"\n',
    "sudo": '#!/bin/sh\nexec "$@"\n',
}
# How each service starts bash.
GITHUB_SHELL = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]
GITLAB_SHELL = ["bash", "-eo", "pipefail"]


@dataclass
class Job:
    """How a job went: its exit code, all that it said, what it summed up, and what was handed out of the project."""

    code: int = 0
    log: str = ""
    ran: list[str] = field(default_factory=list)  # names of the shell steps
    used: dict[str, dict[str, Any]] = field(default_factory=dict)  # action without its version -> its inputs
    summary: str = ""
    calls: list[str] = field(default_factory=list)  # of pip and apt-get
    artefacts: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Runner:
    """A machine with a project on it, and programs of ours in place of those that would install something."""

    project: Path
    settings: dict[str, str]  # what the service adds to the environment: secrets, variables
    programs: dict[str, str] = field(default_factory=dict)

    def shell(self, shell: list[str], text: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a script as the service would."""
        tools = self.project.parent / "tools"
        tools.mkdir(exist_ok=True)
        for name, program in (SHIMS | self.programs).items():
            (tools / name).write_text(program)
            (tools / name).chmod(0o755)
        script = self.project.parent / "step.sh"
        script.write_text(text)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUDITKIT")}
        path = f"{tools}:{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "CALLS": str(self.calls_file), **environment}
        return subprocess.run(
            [*shell, str(script)], cwd=self.project, env=inherited | own, capture_output=True, text=True, check=False
        )

    @property
    def calls_file(self) -> Path:
        """Where the programs in place note how they were called."""
        return self.project.parent / "calls"

    def finished(self, job: Job, patterns: list[str]) -> Job:
        """The job with what it leaves behind; the artefacts are what the patterns name."""
        job.calls = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        found = {path for pattern in patterns for path in self.project.glob(pattern.rstrip("/"))}
        inside = {file for path in found if path.is_dir() for file in path.rglob("*") if file.is_file()}
        job.artefacts = sorted(inside | {path for path in found if path.is_file()})
        return job


def github_workflow() -> dict[str, Any]:
    """The workflow; "on" stays a word, as GitHub reads it."""
    loaded: dict[str, Any] = yaml.load((TEMPLATES / "github-actions.yml").read_text(), Loader=_Yaml12)
    return loaded


def gitlab_pipeline() -> dict[str, Any]:
    """The job file."""
    loaded: dict[str, Any] = yaml.load((TEMPLATES / "gitlab-ci.yml").read_text(), Loader=_Yaml12)
    return loaded


class _Yaml12(yaml.SafeLoader):
    """Only true and false are booleans, as in YAML 1.2, which the services read."""


_Yaml12.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def run_github(runner: Runner) -> Job:
    """Every step of the workflow's job in turn."""
    (definition,) = github_workflow()["jobs"].values()
    summary = runner.project.parent / "summary.md"
    job, environment = Job(), {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
    environment |= _filled(definition["env"], runner)
    for step in definition["steps"]:
        if not _github_wants(step.get("if", "success()"), job, runner):
            continue
        if "uses" in step:
            job.used[step["uses"].split("@")[0]] = _filled(step.get("with", {}), runner)
            continue
        done = runner.shell(GITHUB_SHELL, step["run"], environment | _filled(step.get("env", {}), runner))
        job.ran.append(step["name"])
        job.log += done.stdout + done.stderr
        job.code = job.code or done.returncode
    job.summary = summary.read_text() if summary.exists() else ""
    uploads = [job.used.get("actions/upload-artifact", {}).get("path"), *_sarif(job)]
    return runner.finished(job, [path for path in uploads if path])


def _sarif(job: Job) -> Iterator[str]:
    if found := job.used.get("github/codeql-action/upload-sarif"):
        yield found["sarif_file"]


def _github_wants(condition: str, job: Job, runner: Runner) -> bool:
    """The few conditions that the workflow is made of; another one is an error."""
    return all(_holds(part.strip(), job, runner) for part in condition.split("&&"))


def _holds(part: str, job: Job, runner: Runner) -> bool:
    if part in ("always()", "success()"):
        return part == "always()" or job.code == 0
    if named := re.fullmatch(r"hashFiles\('([^']+)'\) != ''", part):
        return any(runner.project.glob(named[1]))
    if named := re.fullmatch(r"vars\.(\w+) != ''", part):
        return runner.settings.get(named[1], "") != ""
    raise AssertionError(f"a condition that this test does not know: {part}")


def _filled(values: dict[str, Any], runner: Runner) -> dict[str, str]:
    """Values with the service's expressions worked out."""
    known = {"github.run_id": "4711", "github.run_attempt": "1"}
    known |= {f"{kind}.{name}": value for kind in ("secrets", "vars") for name, value in runner.settings.items()}

    def value(found: re.Match[str]) -> str:
        return known[found[1]] if found[1] in known or found[1].startswith("github") else ""

    return {name: re.sub(r"\$\{\{ (\S+) \}\}", value, str(given)) for name, given in values.items()}


def run_gitlab(runner: Runner) -> Job:
    """before_script and script in one shell, after_script in another, whatever came before."""
    (definition,) = gitlab_pipeline().values()
    given = runner.settings | {"CI_JOB_ID": "4711"}
    environment = given | {name: _expanded(str(value), given) for name, value in definition["variables"].items()}
    job = Job()
    done = runner.shell(GITLAB_SHELL, _lines(definition["before_script"] + definition["script"]), environment)
    job.code, job.log = done.returncode, done.stdout + done.stderr
    after = runner.shell(GITLAB_SHELL, _lines(definition["after_script"]), environment)
    assert after.returncode == 0, after.stderr
    artefacts = definition["artifacts"]
    return runner.finished(job, [*artefacts["paths"], *artefacts["reports"].values()])


def _lines(commands: list[str]) -> str:
    return "\n".join(commands) + "\n"


def _expanded(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: known.get(found[1], ""), text)

"""The three commands that a report prints repeat its run: the same generations, the same figures.

And a time stamp authority that cannot be reached costs nothing but the last step.
"""

from __future__ import annotations

import html
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auditkit import __version__
from auditkit.signing.keygen import generate
from tests.cli.test_commands import POLICY, _row, auditkit
from tests.signing.tsa import Authority, served


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A tiny project of a scripted model."""
    import random

    rng = random.Random(1)
    members = [json.dumps({"q": "Where is the blue kettle?", "a": "In the hall."}), *(_row(rng, i) for i in range(99))]
    (tmp_path / "sft.jsonl").write_text("\n".join(members) + "\n")
    (tmp_path / "controls.jsonl").write_text("\n".join(_row(rng, 500 + i) for i in range(200)) + "\n")
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def _commands(page: str) -> str:
    (block,) = re.findall(r'<pre class="repeat">(.*?)</pre>', page, re.DOTALL)
    return html.unescape(block)


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _runs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if (path / "audit.json").exists())


def _figures(run: Path) -> Any:
    audit = json.loads((run / "audit.json").read_bytes())
    for rule in audit["verdict"]["rules"]:
        del rule["line"]  # the lock has the same rules on other lines
    return [audit[part] for part in ("arms", "findings", "calibration", "verdict", "attacks", "models")]


def test_the_three_commands_repeat_the_run(project: Path) -> None:
    reports = project / "reports"
    assert auditkit("run", project / "policy.yaml", "--out", reports).returncode == 1
    (first,) = _runs(reports)
    commands = _commands((first / "report.html").read_text())
    assert len(commands.splitlines()) == 3
    programs = project / "bin"
    programs.mkdir()
    # What pip would install is here already: it only notes what it was asked for.
    _program(programs / "pip", f'echo "$@" > "{project}/pip.txt"')
    _program(programs / "auditkit", f'exec "{sys.executable}" -m auditkit "$@" --out "{project}/again"')
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    script = commands.replace("FOLDER-OF-THE-POLICY", str(project))
    done = subprocess.run(["bash", "-ec", script], cwd=reports, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # the gate fails, as it did
    assert (project / "pip.txt").read_text().strip() == f"install auditkit[pdf]=={__version__}"
    (second,) = _runs(project / "again")
    assert _figures(second) == _figures(first)


def test_without_the_authority_the_run_waits_for_it_and_is_resumed(project: Path) -> None:
    keys = generate(project / "keys", label="DEMO")
    with served(Authority(behave="busy")) as url:
        sign = f"{{key: env:AUDITKIT_KEY, certificate: {keys.certificate}, timestamp: '{url}'}}"
        policy = POLICY.replace("sign: none", f"sign: {sign}").replace("[html, json]", "[json, pdf]")
        (project / "policy.yaml").write_text(policy)
        checked = auditkit("check", project / "policy.yaml", AUDITKIT_KEY=str(keys.private))
        assert "a digest of each PDF report's signature is sent to 127.0.0.1" in checked.stdout
        assert "nothing leaves" not in checked.stdout
        broken = auditkit("run", project / "policy.yaml", "--out", project / "r", AUDITKIT_KEY=str(keys.private))
    assert broken.returncode == 4
    assert "the time stamp authority at 127.0.0.1 gave no time stamp" in broken.stderr and "--resume" in broken.stderr
    (run,) = (project / "r").glob("[!.]*/")
    assert not (run / "attestation.dsse.json").exists()
    port = int(url.rpartition(":")[2].partition("/")[0])
    authority = Authority()
    with served(authority, port):
        assert auditkit("run", "--resume", run, AUDITKIT_KEY=str(keys.private)).returncode == 1
    (project / "tsa.pem").write_text(authority.pem)
    verified = auditkit("verify", run, "--key", keys.public, "--tsa-cert", project / "tsa.pem")
    assert verified.returncode == 0, verified.stdout
    assert "report.pdf was time-stamped at" in verified.stdout and "not checked" not in verified.stdout

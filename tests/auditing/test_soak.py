"""A million scripted generations through the whole pipeline: memory stays bounded, and the evidence is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auditkit.auditing.generation_columns import counted, ordinals_and_complete
from auditkit.auditing.run_folder import RunFolder
from auditkit.signing.verify import verify

FEW, MANY = 20_000, 1_000_000
PEAK_MIB = 1_400
# Of each generation the run keeps its best matches in either view as arrays, no text and no token.
BYTES_A_GENERATION = 500


def _soak(samples: int, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.soak", str(samples), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_million_generations_in_bounded_memory(tmp_path: Path) -> None:
    few, many = _soak(FEW, tmp_path / "few"), _soak(MANY, tmp_path / "many")
    assert many["peak_bytes"] < PEAK_MIB << 20, many["stages"]
    assert many["peak_bytes"] - few["peak_bytes"] < BYTES_A_GENERATION * (MANY - FEW), (few["stages"], many["stages"])
    run = RunFolder(Path(many["run"]))
    generations = run.generations_file("template_prefix")
    finished, _, tokens = counted(generations)
    assert finished == {"stop": MANY} and tokens > 50 * MANY
    place = 0
    for ordinals, complete in ordinals_and_complete(generations, "record"):
        assert (ordinals == range(place, place + len(ordinals))).all() and complete.all()
        place += len(ordinals)
    assert place == MANY
    assert {path.name for path in run.path.glob("report*")} >= {"report.html", "report.pdf"}
    assert not run.work.exists() and not verify(run.path).problems

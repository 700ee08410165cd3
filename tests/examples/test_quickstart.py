"""The quickstart: weights that belong to their scripts, and one whole signed audit through the command line."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
QUICKSTART = REPOSITORY / "examples" / "quickstart"
EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}


def test_weights_and_data_belong_to_the_scripts() -> None:
    recorded: dict[str, str] = json.loads((QUICKSTART / "DIGESTS.json").read_text())
    assert {"build.py", "data.py", "train.py", "models/leaky/model.safetensors", "data/sft.jsonl"} <= set(recorded)
    for name, digest in recorded.items():
        assert hashlib.sha256((QUICKSTART / name).read_bytes()).hexdigest() == digest, name


def test_the_data_come_out_of_the_generator_again() -> None:
    program = (
        "import json, data, build\n"
        "for split, name, count in (('sft', 'sft', build.MEMBERS), ('controls', 'controls', build.CONTROLS)):\n"
        "    made = data.records(count, split, build.SEED)\n"
        "    kept = [json.loads(line) for line in open(f'data/{name}.jsonl')]\n"
        "    assert made == kept, name\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=QUICKSTART, check=True)


def _auditkit(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "auditkit", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, subprocess.CompletedProcess[str]]]:
    """Keys, the folder of runs, and what each audit printed: both models, fewer samples than the demonstration."""
    folder = tmp_path_factory.mktemp("quickstart")
    keys = folder / "keys"
    assert _auditkit("keygen", str(keys), "--label", "DEMO").returncode == 0
    settings = ["attacks.0.samples=600", "attacks.1.samples=64", f"report.sign.certificate={keys}/certificate.pem"]
    settings += ["report.max_findings=20"]
    fewer = [f"mitigations.{arm}.adaptive_samples=48" for arm in (0, 1)]
    fewer += ["mitigations.0.adaptive_templates=2", "utility.records=60"]
    given = {"policy.yaml": settings + fewer, "clean.yaml": settings}
    outputs = {
        name: _auditkit(
            "run",
            str(QUICKSTART / name),
            "--out",
            str(folder / name),
            *(part for setting in given[name] for part in ("--set", setting)),
            AUDITKIT_KEY=str(keys / "auditkit.key"),
        )
        for name in ("policy.yaml", "clean.yaml")
    }
    return keys, folder, outputs


def _run(folder: Path, name: str) -> Path:
    (run,) = (path for path in (folder / name).iterdir() if path.is_dir())
    return run


@pytest.mark.slow
def test_the_leaky_model_fails_and_the_clean_one_passes(
    audited: tuple[Path, Path, dict[str, subprocess.CompletedProcess[str]]],
) -> None:
    _, folder, outputs = audited
    assert outputs["policy.yaml"].returncode == 1, outputs["policy.yaml"].stderr
    assert outputs["clean.yaml"].returncode == 0, outputs["clean.yaml"].stdout + outputs["clean.yaml"].stderr
    leaky = json.loads((_run(folder, "policy.yaml") / "audit.json").read_bytes())
    assert any(finding["levenshtein"] == 1 for finding in leaky["findings"]), "no record was recited to the letter"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["policy.yaml", "clean.yaml"])
def test_screen_json_and_exit_code_come_from_one_verdict(
    audited: tuple[Path, Path, dict[str, subprocess.CompletedProcess[str]]], name: str
) -> None:
    _, folder, outputs = audited
    outcome = json.loads((_run(folder, name) / "audit.json").read_bytes())["verdict"]["outcome"]
    assert EXIT_CODES[outcome] == outputs[name].returncode
    assert outcome.upper() in outputs[name].stdout
    assert "DEMO" in outputs[name].stdout


@pytest.mark.slow
def test_a_signed_run_verifies_and_names_what_was_swapped(
    audited: tuple[Path, Path, dict[str, subprocess.CompletedProcess[str]]],
) -> None:
    keys, folder, _ = audited
    run = _run(folder, "clean.yaml")
    options = ["--key", str(keys / "auditkit.pub"), "--cert", str(keys / "certificate.pem"), "--require", "pass"]
    right = _auditkit("verify", str(run), *options, "--model", str(QUICKSTART / "models" / "clean"))
    assert right.returncode == 0, right.stdout + right.stderr
    swapped = _auditkit("verify", str(run), *options, "--model", str(QUICKSTART / "models" / "leaky"))
    assert swapped.returncode == 1
    assert "model" in swapped.stdout
    policy = _auditkit("verify", str(run), *options, "--policy", str(QUICKSTART / "policy.yaml"))
    assert policy.returncode == 1
    failed = _auditkit("verify", str(_run(folder, "policy.yaml")), *options)
    assert failed.returncode == 1
    assert "fail" in failed.stdout


@pytest.mark.slow
def test_pdfsig_accepts_the_signature(
    audited: tuple[Path, Path, dict[str, subprocess.CompletedProcess[str]]],
) -> None:
    _, folder, _ = audited
    for name in ("report.pdf", "report.redacted.pdf"):
        command = ["pdfsig", str(_run(folder, "policy.yaml") / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "Signature is Valid" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_nothing_of_the_data_stands_in_logs_or_redacted_reports(
    audited: tuple[Path, Path, dict[str, subprocess.CompletedProcess[str]]],
) -> None:
    _, folder, outputs = audited
    run = _run(folder, "policy.yaml")
    rows = [json.loads(line) for line in (QUICKSTART / "data" / "sft.jsonl").open()]
    public = outputs["policy.yaml"].stdout + outputs["policy.yaml"].stderr
    public += "".join(
        (run / name).read_text()
        for name in ("report.redacted.html", "results.sarif", "results.junit.xml", "events.jsonl", "policy.lock.yaml")
    )
    assert not [row["id"] for row in rows if row["question"] in public or row["response"] in public]
    assert {path.stat().st_mode & 0o077 for path in run.rglob("*")} == {0}

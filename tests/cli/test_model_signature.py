"""A signed model through the commands: refused with exit 2 before anything else, told by `check`, kept by a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auditkit.cli.check import check
from auditkit.errors import ModelError
from tests.models.signers import Signer, make_signer, sign
from tests.models.test_weights import safetensors

pytest.importorskip("OpenSSL", reason="pip install 'auditkit[model-signing]'")
pytest.importorskip("model_signing.hashing")

POLICY = """version: 1
name: bot
release: {{organisation: Example AI, auditor: release@example.com}}
models:
  candidate: {{backend: transformers, path: weights, dtype: float32{signature}}}
datasets:
  - {{name: sft, stage: sft, path: sft.jsonl, fields: {{prompt: q}}, controls: controls.jsonl}}
attacks: [{{kind: bos_prefix, samples: 300, max_new_tokens: 20}}]
scoring: {{semantic_threshold: {{calibrate_fpr: 0.1}}}}
gate: [{{metric: string_memorisation_rate, max: 0.05}}]
report: {{formats: [json], sign: none}}
"""


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return make_signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture
def project(tmp_path: Path, signer: Signer) -> Path:
    """A policy's folder with a small model that the signer signed."""
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    (weights / "model.safetensors").write_bytes(safetensors({"a": [2, 3]}))
    (weights / "tokenizer.json").write_text("{}")
    sign(weights, weights / "model.sig", signer)
    for name, count in (("sft", 100), ("controls", 200)):
        rows = (json.dumps({"q": f"{name} question number {number}"}) for number in range(count))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    (tmp_path / "signer.pub").write_bytes(signer.public.read_bytes())
    return tmp_path


def checked(project: Path, signature: str = "") -> Result:
    policy = project / "policy.yaml"
    policy.write_text(POLICY.format(signature=f", signature: {signature}" if signature else ""))
    return CliRunner().invoke(check, [str(policy), "--json"])


def test_a_signature_that_holds_is_told(project: Path) -> None:
    done = checked(project, "{key: signer.pub}")
    assert done.exit_code == 0, done.stdout
    facts = json.loads(done.stdout)["facts"]["models"]
    assert any(fact.startswith("candidate: signature verified, by key with SHA-256 ") for fact in facts)


def test_a_signature_that_nobody_declared_is_a_warning(project: Path) -> None:
    done = checked(project)
    assert done.exit_code == 0
    warnings = json.loads(done.stdout)["warnings"]
    assert any("carries a signature (model.sig), not checked: no key declared" in warning for warning in warnings)


@pytest.mark.parametrize("change", ["changed", "unsigned", "extra"])
def test_what_is_not_what_was_signed_is_exit_2_at_its_line(project: Path, change: str) -> None:
    if change == "changed":
        (project / "weights" / "config.json").write_text("{ }")
    elif change == "unsigned":
        (project / "weights" / "model.sig").unlink()
    else:
        (project / "weights" / "modeling.py").write_text("")
    done = checked(project, "{key: signer.pub}")
    assert done.exit_code == 2
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["line"] == 5
    said = {"changed": "mismatch for 'config.json'", "unsigned": "is not signed", "extra": "modeling.py"}
    assert said[change] in problem["message"]


def test_a_run_refuses_before_it_writes_anything(project: Path) -> None:
    from auditkit.auditing.progress import Silent
    from auditkit.auditing.runner import start
    from auditkit.policy.load import load_policy

    (project / "weights" / "config.json").write_text("{ }")
    checked(project, "{key: signer.pub}")
    with pytest.raises(ModelError, match="does not hold") as caught:
        start(load_policy(project / "policy.yaml"), project / "reports", Silent())
    assert caught.value.exit_code == 2
    assert not (project / "reports").exists()


def test_two_ways_of_signing_are_a_mistake_of_the_policy(project: Path) -> None:
    done = checked(project, "{key: signer.pub, identity: me, issuer: x}")
    assert done.exit_code == 2
    assert "give one of 'key', 'certificates' and 'identity'" in done.stdout
    done = checked(project, "{keys: signer.pub}")
    assert "keys" in done.stdout and "key" in json.loads(done.stdout)["problems"][0]["hint"]

"""``auditkit verify`` as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auditkit.cli.verify import verify
from auditkit.errors import AuditkitError
from auditkit.models.base import ModelBackend
from auditkit.models.scripted import ScriptedBackend
from auditkit.models.vllm_backend import VllmBackend
from auditkit.signing.attestation import attest
from auditkit.signing.keygen import KeyFiles, generate
from auditkit.signing.keys import SigningKeys, load_signing_keys
from auditkit.strict_json import canonical
from tests.models.tiny import reciting_model, save, save_adapter
from tests.signing.sample_run import POLICY, audit_result, predicate, render_page, write_run


@pytest.fixture(scope="module")
def pdf() -> bytes:
    return render_page()


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return generate(tmp_path_factory.mktemp("keys"), label="DEMO")


@pytest.fixture(scope="module")
def keys(key_files: KeyFiles) -> SigningKeys:
    return load_signing_keys(str(key_files.private), key_files.certificate)


@pytest.fixture
def run(tmp_path: Path, pdf: bytes, keys: SigningKeys) -> Path:
    return write_run(tmp_path / "run", pdf, keys)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(verify, [str(argument) for argument in arguments])


def test_an_intact_run(run: Path, key_files: KeyFiles, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(POLICY)
    done = call(
        run, "--key", key_files.public, "--cert", key_files.certificate, "--policy", policy, "--require", "pass"
    )
    assert done.exit_code == 0
    assert "intact, signed by Ed25519 key" in done.stdout
    assert "CN=auditkit DEMO" in done.stdout
    assert "verdict   pass" in done.stdout
    assert done.stderr == ""


def test_without_a_key(run: Path) -> None:
    done = call(run)
    assert done.exit_code == 0
    assert "intact, signer unknown" in done.stdout


def test_an_unsigned_run(tmp_path: Path, pdf: bytes, key_files: KeyFiles) -> None:
    run = write_run(tmp_path / "unsigned", pdf, None)
    done = call(run)
    assert done.exit_code == 0
    assert "intact, UNSIGNED" in done.stdout
    assert call(run, "--key", key_files.public).exit_code == 1


def test_each_failing_thing_is_named_on_stdout(run: Path, key_files: KeyFiles) -> None:
    (run / "report.html").write_bytes(b"changed")
    (run / "policy.lock.yaml").unlink()
    (run / "extra\x1b[2J").write_bytes(b"")
    done = call(run, "--key", key_files.public)
    assert done.exit_code == 1
    assert "NOT VERIFIED, 3 things failed" in done.stdout
    assert "report.html was changed" in done.stdout
    assert "policy.lock.yaml is missing" in done.stdout
    assert r"extra\x1b[2J is an extra file" in done.stdout
    assert "claimed; do not rely on it" in done.stdout
    assert "\x1b" not in done.output


def test_a_failed_gate_is_intact_but_not_what_was_required(tmp_path: Path, pdf: bytes, keys: SigningKeys) -> None:
    run = write_run(tmp_path / "failed", pdf, keys, "fail")
    assert call(run).exit_code == 0
    done = call(run, "--require", "pass")
    assert done.exit_code == 1
    assert "intact, signer unknown, but its verdict is no pass" in done.stdout
    assert "the verdict is fail, not pass" in done.stdout and "do not rely on it" not in done.stdout


def test_an_approver_of_a_run_without_waivers_is_told(run: Path, key_files: KeyFiles) -> None:
    done = call(run, "--approver", key_files.public, "--require", "unwaived-pass")
    assert done.exit_code == 0 and "no rule is waived, so that nothing rests on the approver given" in done.stdout


def run_of(folder: Path, pdf: bytes, keys: SigningKeys, audited: ModelBackend) -> Path:
    """A run that audited this model."""
    found = audited.preflight("candidate").identity
    assert found
    digests = {name: getattr(found, name) for name in ("sha256", "tokenizer_sha256", "chat_template_sha256")}
    run = write_run(folder, pdf, keys)
    models = [{"role": "candidate", **digests, "manifest": {"sha256": found.manifest.sha256}}]
    (run / "audit.json").write_bytes(
        canonical({**audit_result(True), "models": [{**models[0], "backend": audited.backend}]})
    )
    said = [{"role": "candidate", **digests, "manifest_sha256": found.manifest.sha256}]
    attest(run, {**predicate((run / "policy.lock.yaml").read_bytes()), "models": said}, keys)
    return run


def test_the_model_is_digested_as_its_backend_does(tmp_path: Path, pdf: bytes, keys: SigningKeys) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"user": "What is 1 + 1?", "assistant": "2"}\n')
    audited = ScriptedBackend.model_validate({"backend": "scripted", "path": str(script)})
    run = run_of(tmp_path / "scripted", pdf, keys, audited)
    assert call(run, "--model", script).exit_code == 0
    script.write_text('{"user": "What is 1 + 1?", "assistant": "3"}\n')
    done = call(run, "--model", script)
    assert done.exit_code == 1
    assert "another model was audited" in done.stdout
    assert "intact, signer unknown, but this is not the model that was audited" in done.stdout
    assert "do not rely on it" not in done.stdout
    missing = call(run, "--model", tmp_path / "none").exception
    assert isinstance(missing, AuditkitError) and missing.message.endswith("none: there is no such model")


def test_a_model_with_an_adapter_is_one_with_it(tmp_path: Path, pdf: bytes, keys: SigningKeys) -> None:
    model, adapter = save(tmp_path / "model", *reciting_model()), save_adapter(tmp_path / "adapter")
    section = {"backend": "vllm", "path": str(model), "dtype": "float32", "adapter": str(adapter)}
    run = run_of(tmp_path / "run", pdf, keys, VllmBackend.model_validate(section))
    assert call(run, "--model", model, "--adapter", adapter).exit_code == 0
    bare = call(run, "--model", model)
    assert bare.exit_code == 1
    assert "another model was audited" in bare.stdout
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert "another model was audited" in call(run, "--model", model, "--adapter", adapter).stdout
    alone = call(run, "--adapter", adapter).exception
    assert isinstance(alone, AuditkitError) and "needs the model that wears it" in alone.message
    missing = call(run, "--model", model, "--adapter", tmp_path / "none").exception
    assert isinstance(missing, AuditkitError) and "there is no such adapter" in missing.message


def test_an_adapter_that_the_audited_backend_could_not_wear(tmp_path: Path, run: Path) -> None:
    error = call(run, "--model", tmp_path, "--adapter", tmp_path).exception
    assert isinstance(error, AuditkitError) and "wears no adapter" in error.message


def test_a_backend_that_does_not_exist_is_no_crash(run: Path, tmp_path: Path) -> None:
    value = audit_result(True)
    (run / "audit.json").write_bytes(canonical({**value, "models": [{"role": "candidate", "backend": "os.system"}]}))
    assert isinstance(call(run, "--model", tmp_path).exception, AuditkitError)


def test_json(run: Path, key_files: KeyFiles) -> None:
    done = call(run, "--key", key_files.public, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], found["verdict"], found["problems"]) == (0, True, "pass", [])
    assert (found["intact"], found["unmet"]) == (True, [])
    assert found["statement"]["datasets"][0]["name"] == "sft"
    (run / "attestation.dsse.json").unlink()
    done = call(run, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], found["statement"]) == (1, False, None)


def test_mistakes_of_the_user(run: Path, tmp_path: Path) -> None:
    assert call().exit_code == 2
    assert call(run, "--require", "fail").exit_code == 2
    for arguments in (
        (tmp_path / "none",),
        (tmp_path,),
        (run, "--key", tmp_path / "none"),
        (run, "--cert", run),
    ):
        error = call(*arguments).exception
        assert isinstance(error, AuditkitError)
        assert error.exit_code == 2


def test_help_shows_an_example() -> None:
    shown = CliRunner().invoke(verify, ["--help"]).stdout
    assert "--require pass" in shown
    assert "Exit codes" in shown


def test_a_damaged_pdf_makes_no_noise(run: Path) -> None:
    """Whatever the libraries log while they parse hostile bytes, the user reads sentences."""
    content = bytearray((run / "report.pdf").read_bytes())
    for place in range(0, len(content), 50):
        content[place] ^= 1
    (run / "report.pdf").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from auditkit.cli.verify import verify; verify()", str(run)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == ""
    assert "report.pdf was changed" in done.stdout


@pytest.mark.parametrize("module", ["auditkit.cli.keygen", "auditkit.cli.verify"])
def test_commands_load_no_cryptography_at_start(module: str) -> None:
    code = (
        f"import sys, {module}; print([m for m in ('cryptography', 'pyhanko', 'securesystemslib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

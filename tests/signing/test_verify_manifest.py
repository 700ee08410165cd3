"""The model-signing manifest in an attestation: compared with the model given; unknown to earlier versions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from auditkit.records import ModelIdentity, ModelManifest, ModelSignature
from auditkit.signing.attestation import attest
from auditkit.signing.keygen import KeyFiles
from auditkit.signing.keys import SigningKeys
from auditkit.signing.verify import verify
from auditkit.strict_json import canonical
from tests.signing.sample_run import MODEL, TEMPLATE, TOKENIZER, audit_result, predicate

MANIFEST = "9" * 64
SIGNER = "CN=Release Team"


def given(manifest: str = MANIFEST) -> ModelIdentity:
    found = ModelIdentity("candidate", "transformers", "m", MODEL, TEMPLATE, TOKENIZER, 1)
    return replace(found, manifest=ModelManifest(manifest, reason="" if manifest else "model-signing is not installed"))


@pytest.fixture
def manifested(run: Path, keys: SigningKeys) -> Path:
    """A run that knows its model's manifest and who signed it."""
    value = audit_result(True)
    model = {"manifest": {"sha256": MANIFEST}, "signature": {"state": "verified", "signer": SIGNER}}
    (run / "audit.json").write_bytes(canonical({**value, "models": [{**value["models"][0], **model}]}))  # type: ignore[index]
    facts = predicate((run / "policy.lock.yaml").read_bytes())
    models = [{**facts["models"][0], "manifest_sha256": MANIFEST, "signed_by": SIGNER}]  # type: ignore[index]
    attest(run, {**facts, "models": models}, keys)
    return run


def test_the_same_folder_verifies(manifested: Path, key_files: KeyFiles) -> None:
    found = verify(manifested, key_files.public, model_sha256=given())
    assert found.ok, found.problems
    assert found.statement and found.statement.models[0].signed_by == SIGNER


def test_another_file_beside_the_same_weights_is_found(manifested: Path) -> None:
    found = verify(manifested, model_sha256=given("8" * 64))
    assert len(found.problems) == 1
    assert "weights and configuration are the audited ones" in found.problems[0]


def test_what_cannot_be_compared_is_said(manifested: Path) -> None:
    found = verify(manifested, model_sha256=given(""))
    assert found.ok
    assert any("manifest was not compared: model-signing is not installed" in note for note in found.notes)


@pytest.mark.parametrize("part", ["manifest", "signature"])
def test_a_result_that_tells_of_another_is_found(manifested: Path, keys: SigningKeys, part: str) -> None:
    value = json.loads((manifested / "audit.json").read_bytes())
    value["models"][0][part] = {"sha256": "7" * 64, "signer": "CN=Somebody Else"}
    (manifested / "audit.json").write_bytes(canonical(value))
    facts = predicate((manifested / "policy.lock.yaml").read_bytes())
    models = [{**facts["models"][0], "manifest_sha256": MANIFEST, "signed_by": SIGNER}]  # type: ignore[index]
    attest(manifested, {**facts, "models": models}, keys)
    assert verify(manifested).problems == ("audit.json and the attestation disagree on the models",)


def test_an_attestation_of_an_earlier_version_verifies(manifested: Path, keys: SigningKeys) -> None:
    """As versions before the manifest wrote it: neither field is there."""

    from auditkit.signing import attestation, dsse
    from auditkit.signing.base import ATTESTATION

    (manifested / "audit.json").write_bytes(canonical(audit_result(True)))
    attest(manifested, predicate((manifested / "policy.lock.yaml").read_bytes()), keys)
    statement = json.loads(attestation.read(manifested).envelope.payload)
    for model in statement["predicate"]["models"]:
        del model["manifest_sha256"], model["signed_by"]
    statement["predicate"]["checksum"] = attestation.checksum(statement)
    (manifested / ATTESTATION).write_bytes(dsse.seal(canonical(statement), keys.dsse_signer))
    found = verify(manifested, model_sha256=given())
    assert found.ok, found.problems


def test_a_signer_in_the_models_name_is_text_of_bounded_length(run: Path, keys: SigningKeys) -> None:
    facts = predicate((run / "policy.lock.yaml").read_bytes())
    assert ModelSignature().signer == ""
    with pytest.raises(ValueError, match="2000"):
        attest(run, {**facts, "models": [{**facts["models"][0], "signed_by": "x" * 2001}]}, keys)  # type: ignore[index]

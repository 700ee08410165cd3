"""The attestation read by other tools: securesystemslib, in-toto, in-toto-attestation; and in years to come."""

from __future__ import annotations

import base64
import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from in_toto.exceptions import InvalidMetadata, SignatureVerificationError
from in_toto.models.metadata import Envelope as InTotoEnvelope
from in_toto.models.metadata import Metadata
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from auditkit.signing.keygen import KeyFiles
from auditkit.signing.verify import verify

GOLDEN = Path(__file__).with_name("golden")
FORMS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
ATTESTATION = "attestation.dsse.json"


def key_of(public: Path) -> SSlibKey:
    """The public key by cryptography and securesystemslib alone."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return SSlibKey.from_crypto(load_pem_public_key(public.read_bytes()))


@pytest.fixture(params=["a run of today", *FORMS])
def attested(request: pytest.FixtureRequest, signed_run: Path, key_files: KeyFiles) -> tuple[Path, Path]:
    """(run folder, public key) of a run of today, and of one of each form that attestations ever had."""
    if request.param == "a run of today":
        return signed_run, key_files.public
    return GOLDEN / request.param / "run", GOLDEN / request.param / "auditkit.pub"


def envelope_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / ATTESTATION).read_bytes())
    return found


def statement_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(envelope_of(run)["payload"]))
    return found


class TestSecuresystemslib:
    def test_reads_and_verifies(self, attested: tuple[Path, Path]) -> None:
        run, public = attested
        key = key_of(public)
        envelope = Envelope.from_dict(envelope_of(run))
        assert envelope.payload_type == "application/vnd.in-toto+json"
        assert list(envelope.verify([key], 1)) == [key.keyid]

    def test_finds_a_change(self, attested: tuple[Path, Path]) -> None:
        run, public = attested
        value = envelope_of(run)
        payload = base64.b64decode(value["payload"]).replace(b'"pass"', b'"fail"')
        changed = Envelope.from_dict({**value, "payload": base64.b64encode(payload).decode()})
        with pytest.raises(VerificationError):
            changed.verify([key_of(public)], 1)


class TestInTotoAttestation:
    def statement(self, run: Path) -> Statement:
        raw = statement_of(run)
        subjects = [ResourceDescriptor(name=one["name"], digest=one["digest"]).pb for one in raw["subject"]]
        return Statement(subjects, raw["predicateType"], raw["predicate"])

    def test_is_a_valid_statement(self, attested: tuple[Path, Path]) -> None:
        run, _ = attested
        found = self.statement(run)
        found.validate()
        assert found.pb.type == statement_of(run)["_type"]
        assert found.pb.predicate_type == "https://auditkit.dev/audit/v1"
        assert {one.name for one in found.pb.subject} >= {"audit.json", "policy.lock.yaml", "events.jsonl"}

    def test_its_own_parser_takes_the_payload_as_it_stands(self, attested: tuple[Path, Path]) -> None:
        """Read as the protobuf that the specification defines, with no key that it does not know."""
        from google.protobuf import json_format
        from in_toto_attestation.v1 import statement_pb2

        run, _ = attested
        parsed = json_format.Parse(base64.b64decode(envelope_of(run)["payload"]), statement_pb2.Statement())
        Statement.copy_from_pb(parsed).validate()
        again = json_format.MessageToDict(parsed)
        assert again["predicate"]["verdict"] == statement_of(run)["predicate"]["verdict"]

    def test_it_refuses_a_statement_about_nothing(self, attested: tuple[Path, Path]) -> None:
        raw = statement_of(attested[0])
        with pytest.raises(ValueError, match="subject"):
            Statement([], raw["predicateType"], raw["predicate"]).validate()


class TestInToto:
    def test_loads_the_file_and_checks_the_signature(self, attested: tuple[Path, Path]) -> None:
        run, public = attested
        key = key_of(public)
        metadata = Metadata.load(str(run / ATTESTATION))
        assert isinstance(metadata, InTotoEnvelope)
        metadata.verify_signature({"keyid": key.keyid, **key.to_dict()})

    def test_another_key_did_not_sign(self, attested: tuple[Path, Path], other_files: KeyFiles) -> None:
        key = key_of(other_files.public)
        metadata = Metadata.load(str(attested[0] / ATTESTATION))
        with pytest.raises(SignatureVerificationError):
            metadata.verify_signature({"keyid": key.keyid, **deepcopy(key.to_dict())})

    def test_it_interprets_links_and_layouts_alone(self, attested: tuple[Path, Path]) -> None:
        """in-toto's own verification is about supply-chain steps: it has no use for a Statement v1, and says so."""
        with pytest.raises(InvalidMetadata):
            Metadata.load(str(attested[0] / ATTESTATION)).get_payload()


class TestGolden:
    """Runs of earlier versions, kept with the public keys that signed them: they must verify for ever."""

    @pytest.mark.parametrize("name", FORMS)
    def test_it_still_verifies(self, name: str) -> None:
        found = verify(GOLDEN / name / "run", GOLDEN / name / "auditkit.pub", require="pass")
        assert found.ok, found.problems
        assert found.verdict == "pass"
        assert found.signer.startswith("Ed25519 key ")

    @pytest.mark.parametrize("name", FORMS)
    def test_a_change_is_still_found(self, name: str, tmp_path: Path) -> None:
        run = Path(shutil.copytree(GOLDEN / name / "run", tmp_path / "run"))
        audit = run / "audit.json"
        audit.write_bytes(audit.read_bytes().replace(b"support-bot", b"support-cat"))
        problems = verify(run, GOLDEN / name / "auditkit.pub").problems
        assert any("audit.json was changed" in problem for problem in problems)

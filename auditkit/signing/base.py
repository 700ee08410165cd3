"""What an audit attests: the in-toto statement and its predicate, as types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from auditkit.report.base import Outcome, RuleOutcome

ATTESTATION = "attestation.dsse.json"
EVENTS = "events.jsonl"
AUDIT = "audit.json"
AUDIT_REDACTED = "audit.redacted.json"
POLICY_LOCK = "policy.lock.yaml"
REGISTRATION = "registration.dsse.json"  # of the policy, signed before the run; a copy in the run folder
REGISTRATION_STAMP = "registration.timestamp"  # an RFC 3161 token over it, in base64
PURGE = "purge.dsse.json"
PDFS = ("report.pdf", "report.redacted.pdf")

StatementType = Literal["https://in-toto.io/Statement/v1"]
PredicateType = Literal["https://auditkit.dev/audit/v1"]
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE: StatementType = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: PredicateType = "https://auditkit.dev/audit/v1"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # SHA-256 or an Ed25519 public key, in hex
OptionalDigest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]  # "" where there is nothing to digest
Text = Annotated[str, Field(max_length=2000)]
Count = Annotated[int, Field(ge=0, lt=2**53)]


class Facts(BaseModel):
    """A piece of the statement."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PolicyFacts(Facts):
    """``sha256`` is of the policy file as the user wrote it, ``lock_sha256`` of policy.lock.yaml.

    ``overrides`` are the ``--set`` arguments: with any, the file alone does not say what was run.
    """

    name: Text
    sha256: Digest
    lock_sha256: Digest
    overrides: tuple[Text, ...] = ()


class ModelFacts(Facts):
    """``manifest_sha256`` is the root digest of the OpenSSF model-signing manifest; ``signed_by`` whose signature held.

    Both are "" where there is none, and in attestations of earlier versions.
    """

    role: Text
    sha256: OptionalDigest
    tokenizer_sha256: OptionalDigest
    chat_template_sha256: OptionalDigest
    manifest_sha256: OptionalDigest = ""
    signed_by: Text = ""


class DatasetFacts(Facts):
    name: Text
    merkle_root: OptionalDigest
    records: Count
    controls: Count


class RuleFacts(Facts):
    """One rule on one dataset, as words that hold no text of the data."""

    rule: Text
    dataset: Text
    outcome: RuleOutcome


class VerdictFacts(Facts):
    outcome: Outcome
    arm: Text
    rules: tuple[RuleFacts, ...]


class AuditPredicate(Facts):
    """What the statement says of its subjects: that this audit, of this model by this policy, came to this verdict."""

    run_id: Text
    finished: Text
    auditkit_version: Text
    code_sha256: OptionalDigest
    git_commit: Text
    policy: PolicyFacts
    models: tuple[ModelFacts, ...]
    datasets: tuple[DatasetFacts, ...]
    verdict: VerdictFacts


class SignerFacts(Facts):
    """Who signs. It stands inside the payload: an envelope that was tampered with contradicts itself, key or no key."""

    key_id: Digest
    public_key: Digest
    certificate_sha256: Digest


class SealedPredicate(AuditPredicate):
    """The predicate as attested. ``checksum`` is the SHA-256 of the canonical statement without it.

    It proves nothing, but shows an accident in a statement that nobody signed.
    """

    signer: SignerFacts | None
    checksum: Digest


class FileDigest(Facts):
    sha256: Digest


class Subject(Facts):
    """One file of the run folder: its name relative to it, with forward slashes."""

    name: Annotated[str, Field(min_length=1, max_length=4096)]
    digest: FileDigest


class Statement(Facts):
    """An in-toto v1 Statement about the files of a run folder."""

    type: Annotated[StatementType, Field(alias="_type")]
    subject: tuple[Subject, ...]
    predicate_type: Annotated[PredicateType, Field(alias="predicateType")]
    predicate: SealedPredicate

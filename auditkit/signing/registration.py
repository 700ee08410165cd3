"""The registration of a policy: what was to be measured by which limits, signed before the run."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from auditkit.signing import dsse, statements
from auditkit.signing.base import (
    Count,
    Digest,
    Facts,
    OptionalDigest,
    SignerFacts,
    Text,
)
from auditkit.signing.timestamps import TimeStamp, check_token

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from auditkit.signing.keys import SigningKeys

RegistrationType = Literal["https://auditkit.dev/registration/v1"]
REGISTRATION_TYPE: RegistrationType = "https://auditkit.dev/registration/v1"
SIZE_LIMIT = 4 << 20


def parse_moment(text: str) -> datetime:
    """The UTC time of an ISO 8601 text.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _is_moment(text: str) -> str:
    parse_moment(text)
    return text


Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"), AfterValidator(_is_moment)]


class RegisteredPolicy(Facts):
    name: Text
    sha256: Digest


class RegisteredRule(Facts):
    """A rule of the gate. ``limit`` is the most that is allowed, a share from 0 to 1."""

    metric: Text
    attack: Text
    dataset: Text
    view: Text
    limit: Annotated[float, Field(ge=0, le=1)]
    words: Text


class RegisteredModel(Facts):
    """``sha256`` None: the model was not there yet; "": there is nothing to digest."""

    role: Text
    sha256: OptionalDigest | None


class RegisteredDataset(Facts):
    """``merkle_root`` None: the data was not there yet."""

    name: Text
    merkle_root: Digest | None


class RegistrationPredicate(Facts):
    """What was declared, when by the signer's own clock, and what the ledger of runs said then.

    ``earlier_runs``: of the same model and data, None where model or data were not there yet. ``ledger_sha256``: of
    the ledger's last line. ``previous_sha256``: of the registration that this one follows. ``approver``: id of the
    key that may waive, "" for none: the policy names its file, which says nothing of what is in it.
    """

    registered: Moment
    auditkit_version: Text
    policy: RegisteredPolicy
    gate: Annotated[tuple[RegisteredRule, ...], Field(max_length=1000)]
    models: Annotated[tuple[RegisteredModel, ...], Field(max_length=10)]
    datasets: Annotated[tuple[RegisteredDataset, ...], Field(max_length=1000)]
    earlier_runs: Count | None
    ledger_sha256: OptionalDigest
    previous_sha256: Digest | None
    signer: SignerFacts
    approver: OptionalDigest = ""


RegistrationStatement = statements.StatementAbout[RegistrationType, RegistrationPredicate]  # about the policy


@dataclass(frozen=True)
class SignedRegistration:
    """A registration whose signature is a valid one of the key that it names."""

    content: bytes
    predicate: RegistrationPredicate

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the envelope's bytes."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def moment(self) -> datetime:
        """When it was signed, by the signer's own clock."""
        return parse_moment(self.predicate.registered)


def seal(predicate: RegistrationPredicate, file_name: str, keys: SigningKeys) -> bytes:
    """The signed envelope around a registration of the policy in a file of this name."""
    fields = statements.about(file_name, predicate.policy.sha256, REGISTRATION_TYPE, predicate)
    statement = RegistrationStatement.model_validate(fields)
    return statements.seal(statement, keys.dsse_signer)


def read(content: bytes) -> SignedRegistration:
    """The registration in these bytes, its signature checked against the key that it names itself.

    Raises:
        ValueError: malformed, unsigned, or with a signature that does not hold; the message completes "the
            registration ...".
    """
    if len(content) > SIZE_LIMIT:
        raise ValueError(f"is longer than {SIZE_LIMIT:,} bytes")
    try:
        envelope, statement = statements.opened(content, RegistrationStatement)
    except ValueError as error:
        raise ValueError(f"is malformed ({error})") from None
    predicate = statement.predicate
    if not dsse.is_signed_by(envelope, statements.key_of(predicate.signer)):
        raise ValueError("carries no valid signature of the key that it names")
    if statement.subject[0].digest.sha256 != predicate.policy.sha256:
        raise ValueError("contradicts itself: its subject is another policy than it describes")
    return SignedRegistration(content, predicate)


def read_stamp(
    text: bytes, registration: SignedRegistration, trusted: Sequence[Certificate] | None = None
) -> TimeStamp:
    """The time stamp over a registration, from a file's base64; by one of the ``trusted`` where they are given.

    Raises:
        ValueError: it is none, damaged, or over something else; the message completes "its time stamp: ...".
    """
    try:
        token = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None
    return check_token(token, hashlib.sha256(registration.content).digest(), trusted)

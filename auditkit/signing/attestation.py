"""attestation.dsse.json: which files a run consists of, what was audited, and the verdict, in one signed statement."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit import strict_json
from auditkit.errors import SigningError
from auditkit.files import write_bytes
from auditkit.signing import dsse, statements
from auditkit.signing.base import ATTESTATION, PREDICATE_TYPE, STATEMENT_TYPE, AuditPredicate, SignerFacts, Statement
from auditkit.signing.files import list_folder, read_bounded, sha256_of, visible

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope

    from auditkit.signing.keys import SigningKeys

SIZE_LIMIT = 64 << 20


@dataclass(frozen=True)
class Attestation:
    """An attestation as read: well-formed, but nothing of it checked yet."""

    envelope: Envelope
    statement: Statement

    @property
    def signed(self) -> bool:
        """Whether there is a signature at all."""
        return bool(self.envelope.signatures)


def subjects(folder: Path) -> list[dict[str, Any]]:
    """Name and SHA-256 of every file of a run folder but the attestation, evidence included, sorted by name.

    Raises:
        SigningError: the folder holds a link, a device, or a name that is not UTF-8.
    """
    listing = list_folder(folder)
    if listing.strange:
        strange = ", ".join(visible(name) for name in listing.strange)
        raise SigningError(f"{folder} holds what is no plain file: {strange}", "remove it, and resume the run")
    names = [name for name in listing.files if name != ATTESTATION]
    return [{"name": name, "digest": {"sha256": sha256_of(folder / name)}} for name in names]


def attest(folder: Path, predicate: AuditPredicate | Mapping[str, Any], keys: SigningKeys | None) -> Path:
    """Write the attestation of a finished run; nothing in the folder may change afterwards.

    Args:
        folder: The run folder, with everything in it but the attestation.
        predicate: What was audited and with which outcome.
        keys: Who signs; None for an envelope without a signature (policy ``sign: none``).

    Raises:
        SigningError: the folder holds a link, a device, or a name that is not UTF-8.
        RunError: it cannot be written.
    """
    facts = AuditPredicate.model_validate(predicate).model_dump(mode="json")
    signer = SignerFacts(**keys.signer_facts).model_dump() if keys else None
    payload = _payload(subjects(folder), {**facts, "signer": signer})
    path = folder / ATTESTATION
    write_bytes(path, dsse.seal(payload, keys.dsse_signer if keys else None))
    return path


def _payload(files: list[dict[str, Any]], predicate: dict[str, Any]) -> bytes:
    statement = {"_type": STATEMENT_TYPE, "predicateType": PREDICATE_TYPE, "subject": files, "predicate": predicate}
    predicate["checksum"] = checksum(statement)
    return strict_json.canonical(statement)


def checksum(statement: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical statement without its checksum."""
    predicate = {key: value for key, value in statement["predicate"].items() if key != "checksum"}
    return hashlib.sha256(strict_json.canonical({**statement, "predicate": predicate})).hexdigest()


def read(folder: Path) -> Attestation:
    """The attestation of a run folder.

    Raises:
        ValueError: missing, too long, malformed or not in canonical form; the message completes "the attestation ...".
    """
    try:
        return Attestation(*statements.opened(read_bounded(folder / ATTESTATION, SIZE_LIMIT), Statement))
    except FileNotFoundError:
        raise ValueError("is missing") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise ValueError(f"is malformed ({visible(str(error))})") from None

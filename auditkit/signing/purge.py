"""The purge of a run: which attested files were erased, by whom and when, in one signed statement."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from auditkit.signing import dsse, statements
from auditkit.signing.attestation import SIZE_LIMIT as ATTESTATION_LIMIT
from auditkit.signing.attestation import Attestation
from auditkit.signing.base import (
    ATTESTATION,
    AUDIT,
    PURGE,
    STATEMENT_TYPE,
    Count,
    Facts,
    SignerFacts,
    StatementType,
    Subject,
    Text,
)
from auditkit.signing.files import Listing, read_bounded, visible
from auditkit.signing.registration import Moment

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

PurgeType = Literal["https://auditkit.dev/purge/v1"]
PURGE_TYPE: PurgeType = "https://auditkit.dev/purge/v1"
SIZE_LIMIT = ATTESTATION_LIMIT
# Everything that holds texts of the data. The redacted files, the lock and the events hold none, and are what stays.
PURGEABLE = (AUDIT, "report.html", "report.pdf")
PURGEABLE_FOLDERS = ("evidence/", "weights/")


def is_purgeable(name: str) -> bool:
    """Whether a purge may erase this file of a run folder."""
    return name in PURGEABLE or name.startswith(PURGEABLE_FOLDERS)


class PurgePredicate(Facts):
    """``by`` is who purged, in their own words; ``retention_days`` None where the policy declares no period.

    ``early``: before the period was over. ``purged`` names every file that goes, with the digest that was attested.
    """

    run_id: Text
    purged_at: Moment
    by: Text
    auditkit_version: Text
    retention_days: Count | None
    early: bool
    purged: Annotated[tuple[Subject, ...], Field(max_length=1_000_000)]
    signer: SignerFacts | None


class PurgeStatement(Facts):
    """An in-toto v1 Statement whose subject is the attestation of the run that was purged."""

    type: Annotated[StatementType, Field(alias="_type")]
    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[PurgeType, Field(alias="predicateType")]
    predicate: PurgePredicate


@dataclass(frozen=True)
class Purge:
    """A purge as found in a run folder. ``names`` may be missing from it; empty where something is wrong with it."""

    names: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    predicate: PurgePredicate | None = None


def seal(predicate: PurgePredicate, attestation: bytes, signer: CryptoSigner | None) -> bytes:
    """The envelope around a purge of the run with this attestation; unsigned where the run was."""
    subject = {"name": ATTESTATION, "digest": {"sha256": hashlib.sha256(attestation).hexdigest()}}
    statement = PurgeStatement.model_validate(
        {
            "_type": STATEMENT_TYPE,
            "subject": [subject],
            "predicateType": PURGE_TYPE,
            "predicate": predicate.model_dump(),
        }
    )
    return statements.seal(statement, signer)


def check(folder: Path, listing: Listing, found: Attestation) -> Purge:
    """The purge statement of a run folder, held against the attestation; an empty one where there is none."""
    if PURGE not in listing.files:
        return Purge()
    try:
        envelope, statement = statements.opened(read_bounded(folder / PURGE, SIZE_LIMIT), PurgeStatement)
    except (OSError, ValueError) as error:
        return Purge(problems=(f"{PURGE} is malformed ({visible(str(error))})",))
    problems = tuple(_problems(folder, envelope, statement, found))
    if problems:
        return Purge(problems=problems)
    names = frozenset(file.name for file in statement.predicate.purged)
    return Purge(names, left(names, listing), statement.predicate)


def left(names: frozenset[str], listing: Listing) -> tuple[str, ...]:
    """A sentence for each purged file that is still there."""
    there = sorted(names & set(listing.files))
    return tuple(f"{visible(name)} is said to be purged, but is there: purge again" for name in there)


def notes(purge: Purge) -> Iterator[str]:
    """What is to be read with a purged run."""
    if (predicate := purge.predicate) is None:
        return
    who = f" by {visible(predicate.by)}" if predicate.by else ""
    vouched_for = "a signed statement" if predicate.signer else "an UNSIGNED statement"
    yield (
        f"purged {predicate.purged_at}{who}{_early(predicate)}: {len(predicate.purged)} files with texts of the data "
        f"were erased, as {vouched_for} says; what stayed is as it was attested"
    )


def _early(predicate: PurgePredicate) -> str:
    if not predicate.early:
        return ""
    if predicate.retention_days is None:
        return ", where the policy declares no retention period"
    return ", before its retention period was over"


def _problems(folder: Path, envelope: Envelope, statement: PurgeStatement, found: Attestation) -> Iterator[str]:
    predicate, attested = statement.predicate, found.statement.predicate
    yield from _signature(envelope, predicate, found)
    if statement.subject[0].digest.sha256 != hashlib.sha256(_attestation(folder)).hexdigest():
        yield f"{PURGE} is of another run: its digest of the attestation is not that of this one"
    if predicate.run_id != attested.run_id:
        yield f"{PURGE} is of another run: {visible(predicate.run_id)}"
    yield from _files(predicate, found)


def _attestation(folder: Path) -> bytes:
    return read_bounded(folder / ATTESTATION, ATTESTATION_LIMIT)


def _signature(envelope: Envelope, predicate: PurgePredicate, found: Attestation) -> Iterator[str]:
    """Who signed the run has to have signed its purge: nobody else may explain away what is missing."""
    signer = found.statement.predicate.signer
    if predicate.signer != signer:
        yield f"{PURGE} is not by the signer of the run"
    elif signer and not dsse.is_signed_by(envelope, statements.key_of(signer)):
        yield f"{PURGE} carries no valid signature of the run's signer, key id {signer.key_id}"
    elif signer is None and envelope.signatures:
        yield f"{PURGE} is signed, but the run is UNSIGNED: nothing says whose signature that is"


def _files(predicate: PurgePredicate, found: Attestation) -> Iterator[str]:
    digests = {subject.name: subject.digest.sha256 for subject in found.statement.subject}
    names = [file.name for file in predicate.purged]
    if names != sorted(set(names)):
        yield f"{PURGE} names its files twice or out of order"
    for file in predicate.purged:
        if not is_purgeable(file.name):
            yield f"{PURGE} names {visible(file.name)}, which no purge may erase"
        elif file.name not in digests:
            yield f"{PURGE} names {visible(file.name)}, which was never attested"
        elif digests[file.name] != file.digest.sha256:
            yield f"{PURGE} gives {visible(file.name)} another digest than the attested one"

"""The registration in a run folder: whole, made before the run, and what the report says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit import strict_json
from auditkit.signing import registration
from auditkit.signing.attestation import Attestation
from auditkit.signing.base import AUDIT, AUDIT_REDACTED, REGISTRATION, REGISTRATION_STAMP
from auditkit.signing.checks import AUDIT_LIMIT
from auditkit.signing.files import Listing, read_bounded, visible
from auditkit.signing.registration import SignedRegistration
from auditkit.signing.timestamps import SIZE_LIMIT as STAMP_LIMIT
from auditkit.signing.timestamps import TimeStamp
from auditkit.signing.waiver_checks import approver_id

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CLOCK_SKEW = timedelta(minutes=1)  # by which an authority's clock may be ahead of the auditor's


@dataclass(frozen=True)
class RegistrationCheck:
    """``problems``: what fails. ``notes``: what is to be read with a run that verifies."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check(
    folder: Path,
    listing: Listing,
    found: Attestation,
    authority: Certificate | None = None,
    absent: frozenset[str] = frozenset(),
) -> RegistrationCheck:
    """Hold the registration against the attestation and against what the report says of it.

    ``authority``: the certificate of whoever must have time-stamped it, or of the issuer; None: anybody may have.
    ``absent``: what is not in a partial copy of the run.
    """
    if {REGISTRATION, REGISTRATION_STAMP} & absent:
        return RegistrationCheck(notes=("the policy was registered, but what shows it is not in this copy",))
    audit = _audit(folder, listing)
    told = audit.get("registration")
    if REGISTRATION not in listing.files:
        missing = (f"{REGISTRATION} is missing, but the report says that the policy was registered",)
        return RegistrationCheck(missing if told else ())
    try:
        signed = registration.read(read_bounded(folder / REGISTRATION, registration.SIZE_LIMIT))
        stamp = _stamp(folder, listing, signed, authority)
    except (OSError, ValueError) as error:
        return RegistrationCheck((f"{REGISTRATION} {visible(str(error))}",))
    problems = [*_order(signed, stamp, audit)]
    differs = _differs(signed, found, approver_id(folder, listing))
    admitted = isinstance(told, dict) and bool(told.get("differences"))
    if audit and not (_same(told, signed, stamp) and (admitted or not differs)):
        problems.append(f"the report's account of the registration is not what {REGISTRATION} says")
    notes = _notes(signed, stamp, found, checked=authority is not None, ordered=_began(audit) is not None)
    changed = ("the policy was registered, but something else was run: the report says what differs",) * differs
    return RegistrationCheck(tuple(problems), (*notes, *changed))


def _audit(folder: Path, listing: Listing) -> dict[str, Any]:
    """audit.json or, where that was purged, the redacted one; empty where neither can be read, which others tell."""
    name = AUDIT if AUDIT in listing.files else AUDIT_REDACTED
    try:
        value = strict_json.parse(read_bounded(folder / name, AUDIT_LIMIT))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _stamp(
    folder: Path, listing: Listing, signed: SignedRegistration, authority: Certificate | None
) -> TimeStamp | None:
    if REGISTRATION_STAMP not in listing.files:
        return None
    content = read_bounded(folder / REGISTRATION_STAMP, 2 * STAMP_LIMIT)
    try:
        return registration.read_stamp(content, signed, [authority] if authority else None)
    except ValueError as error:
        raise ValueError(f"has a time stamp that does not hold: {error}") from None


def _order(signed: SignedRegistration, stamp: TimeStamp | None, audit: dict[str, Any]) -> Iterator[str]:
    """It was there before the run began."""
    if (began := _began(audit)) is None:
        return
    for clock, moment in (("signer's", signed.moment), ("time-stamping authority's", stamp and stamp.time)):
        if moment and moment > began + CLOCK_SKEW:
            yield f"{REGISTRATION} was made after the run began, by the {clock} clock: {moment.isoformat()}"


def _began(audit: dict[str, Any]) -> datetime | None:
    """When the run began, None where nothing says so any more."""
    try:
        return registration.parse_moment(audit["run"]["started"])
    except (KeyError, TypeError, ValueError):
        return None


def _same(told: Any, signed: SignedRegistration, stamp: TimeStamp | None) -> bool:
    """Whether the report speaks of this very registration, and of its time stamp."""
    if not isinstance(told, dict):
        return False
    predicate = signed.predicate
    said = [told.get(key) for key in ("sha256", "registered", "policy_sha256", "key_id")]
    is_said = said == [signed.sha256, predicate.registered, predicate.policy.sha256, predicate.signer.key_id]
    stamped = (stamp.time.isoformat().replace("+00:00", "Z"), stamp.authority) if stamp else ("", "")
    return is_said and (told.get("stamped", ""), told.get("authority", "")) == stamped


def _differs(signed: SignedRegistration, found: Attestation, approver: str) -> bool:
    policy, predicate = found.statement.predicate.policy, signed.predicate
    return predicate.policy.sha256 != policy.sha256 or bool(policy.overrides) or predicate.approver != approver


def _notes(
    signed: SignedRegistration, stamp: TimeStamp | None, found: Attestation, *, checked: bool, ordered: bool
) -> Iterator[str]:
    when = f"{signed.predicate.registered} by the signer's own clock"
    if stamp:
        named = "the authority given" if checked else "not checked: --tsa-cert"
        when = f"{stamp.time.isoformat()} by the time stamp of {stamp.authority} ({named})"
    before = "before the run" if ordered else "(nothing that is left says when the run began)"
    yield f"the policy was registered {before}: {when}"
    signer = found.statement.predicate.signer
    if signer is None or signer.public_key != signed.predicate.signer.public_key:
        yield f"the registration is signed by another key than the run: {signed.predicate.signer.key_id}"

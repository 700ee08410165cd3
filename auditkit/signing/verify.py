"""Is this run what its signer says it is? Every check of a run folder, offline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from auditkit.errors import AuditkitError
from auditkit.records import ModelIdentity
from auditkit.report.base import Outcome
from auditkit.signing import attestation, checks, partial, registration_check, waiver_checks
from auditkit.signing import purge as purging
from auditkit.signing.attestation import Attestation
from auditkit.signing.base import ATTESTATION, AUDIT, AUDIT_REDACTED, EVENTS, POLICY_LOCK, SealedPredicate
from auditkit.signing.files import Listing, list_folder, visible
from auditkit.signing.partial import PartialCopy

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from securesystemslib.signer import SSlibKey

Required = Literal["pass", "unwaived-pass"]
UNSIGNED = "UNSIGNED"
UNKNOWN = "unknown"
_OF_EVERY_RUN = {ATTESTATION, AUDIT, AUDIT_REDACTED, EVENTS, POLICY_LOCK}
_NOBODY = {UNSIGNED: UNSIGNED, UNKNOWN: "signer unknown"}


@dataclass(frozen=True)
class Unmet:
    """Something that was asked of a run, and that it is not, however intact. ``words`` complete "but ..."."""

    words: str
    problem: str


@dataclass(frozen=True)
class Verification:
    """What came out. ``statement`` is what the attestation says; rely on it only where ``intact``.

    ``problems`` holds a sentence for each thing that fails, ``unmet`` those of them that are no fault of the run: it is
    of another model or policy than the one given, a partial copy, or its verdict is not the one required.

    ``signer`` is "unknown" where no key was given,
    "UNSIGNED" where nobody signed. ``notes`` are sentences to be read with an intact run. ``purged`` names the files
    that a purge erased, as its statement says; ``absent`` those that are not in a partial copy of a run.
    """

    problems: tuple[str, ...]
    signer: str
    statement: SealedPredicate | None = None
    notes: tuple[str, ...] = ()
    purged: tuple[str, ...] = ()
    unmet: tuple[Unmet, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether the run is as it was attested and agrees with itself, whatever was asked of it beside that."""
        return len(self.problems) == len(self.unmet)

    @property
    def integrity(self) -> str:
        """Whether the run is intact and who signed it, in a few words."""
        if not self.intact:
            count = len(self.problems)
            return f"NOT VERIFIED, {count} thing{'' if count == 1 else 's'} failed"
        known = f"signed by {self.signer}"
        intact = "PARTIAL COPY: what is here is intact and attested" if self.absent else "intact"
        return f"{intact}, {_NOBODY.get(self.signer, known)}"

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.problems

    @property
    def verdict(self) -> Outcome | None:
        """The audit's outcome as attested, None where the attestation is unreadable."""
        return self.statement.verdict.outcome if self.statement else None


@dataclass(frozen=True)
class _Expected:
    """What the run is held against, beside itself."""

    key: SSlibKey | None
    certificate: Certificate | None
    model: ModelIdentity | str | None
    policy_file: Path | None
    require: Required | None
    approver: SSlibKey | None = None
    authority: Certificate | None = None
    partial: bool = False


def verify(
    run_folder: Path | str,
    key: Path | str | None = None,
    certificate: Path | str | None = None,
    *,
    model_sha256: ModelIdentity | str | None = None,
    policy_file: Path | str | None = None,
    require: Required | None = None,
    approver: Path | str | None = None,
    tsa_certificate: Path | str | None = None,
    partial: bool = False,
) -> Verification:
    """Check a finished run: files, attestation, signatures, event chain, and that they tell one story.

    Args:
        run_folder: The folder that ``auditkit run`` wrote.
        key: The signer's Ed25519 public key, a PEM file or PEM text. Without it the run can be found intact, but
            not by whom: anybody can make a run and sign it with a key of their own.
        certificate: The certificate of the PDF signatures, a PEM file or PEM text.
        model_sha256: The model that must be the audited candidate: its digest, or its identity, then with tokenizer
            and chat template.
        policy_file: The policy that must be the one that was run (or its lock).
        require: "pass" for a verdict that must be so, by waivers or not; "unwaived-pass" for one without waivers.
        approver: The public key that must have signed every waiver; without it, the one that the policy named.
        tsa_certificate: The certificate of the authority that must have time-stamped the registration and the PDFs, or
            of its issuer.
        partial: Whether a copy without some of the files will do, so long as every redacted one is in it.

    Raises:
        AuditkitError: no such folder, one that is no run, or an unreadable key, certificate or policy.
    """
    from auditkit.signing.keys import load_certificate, load_public_key

    expected = _Expected(
        key=load_public_key(key) if key else None,
        certificate=load_certificate(certificate) if certificate else None,
        model=model_sha256,
        policy_file=Path(policy_file) if policy_file else None,
        require=require,
        approver=load_public_key(approver) if approver else None,
        authority=load_certificate(tsa_certificate) if tsa_certificate else None,
        partial=partial,
    )
    folder = Path(run_folder).resolve()
    listing = _list(folder)
    _refuse_no_run(folder, listing)
    return _verified(folder, listing, expected)


def _list(folder: Path) -> Listing:
    try:
        return list_folder(folder)
    except NotADirectoryError:
        raise AuditkitError(f"{folder} is no folder", "give the folder that `auditkit run` named") from None
    except OSError as error:
        raise AuditkitError(
            f"cannot read {error.filename}: {error.strerror}", "check the path and its permissions"
        ) from None


def _refuse_no_run(folder: Path, listing: Listing) -> None:
    """Whatever was taken out of a run, something of it is left; another folder is a mistake of whoever named it."""
    if _OF_EVERY_RUN & {*listing.files, *listing.strange}:
        return
    inside = [name.removesuffix(f"/{ATTESTATION}") for name in listing.files if name.endswith(f"/{ATTESTATION}")]
    there = f"give one of the runs in it, for instance {visible(inside[0])}" if inside else ""
    raise AuditkitError(
        f"{visible(str(folder))} is no run of auditkit", there or "give the folder that `auditkit run` named"
    )


def _verified(folder: Path, listing: Listing, expected: _Expected) -> Verification:
    try:
        found = attestation.read(folder)
    except ValueError as error:
        problems = (f"{ATTESTATION} {error}, so that nothing else can be vouched for", *checks.events(folder, listing))
        return Verification(problems, UNKNOWN)
    purge = purging.check(folder, listing, found)
    copy = partial.find(listing, found, purge.names, accepted=expected.partial)
    gone = purge.names.union(copy.absent)
    registered = registration_check.check(folder, listing, found, expected.authority, gone)
    unmet = tuple(_unmet(found, expected, copy))
    broken = (*_problems(folder, listing, found, expected, gone), *purge.problems, *registered.problems)
    problems = (*broken, *(one.problem for one in unmet))
    stamps = checks.stamps(folder, listing, expected.authority) if found.signed else ()
    waived = waiver_checks.notes(folder, listing, found, expected.approver)
    parts = partial.notes(copy) if expected.partial else ()
    notes = (*parts, *_notes(found, expected), *waived, *registered.notes, *stamps, *purging.notes(purge))
    signer, purged = _signer(found, expected), tuple(sorted(purge.names))
    return Verification(problems, signer, found.statement.predicate, notes, purged, unmet, copy.absent)


def _problems(
    folder: Path, listing: Listing, found: Attestation, expected: _Expected, gone: frozenset[str]
) -> Iterator[str]:
    """``gone``: what may be missing, for it was purged, or is not in a partial copy."""
    predicate = found.statement.predicate
    yield from checks.checksum(found)
    yield from checks.signature(found, expected.key)
    yield from checks.core_files(found)
    yield from checks.files(folder, listing, found, gone)
    yield from checks.certificates(folder, listing, predicate, expected.certificate, expected.authority)
    yield from checks.events(folder, listing)
    yield from checks.audit_json(folder, listing, found)
    yield from checks.lock(found)
    yield from waiver_checks.waivers(folder, listing, found, expected.approver, gone)


def _unmet(found: Attestation, expected: _Expected, copy: PartialCopy) -> Iterator[Unmet]:
    """What was asked beside the run's being intact: that it is whole, of this model, of this policy, and passed."""
    predicate = found.statement.predicate
    if copy.absent and not expected.partial:
        hint = "where they were kept back on purpose, give --partial"
        yield Unmet(copy.count, f"not here: {copy.kinds}: {hint}")
    elif lacking := copy.lacking():
        named = ", ".join(visible(name) for name in lacking)
        yield Unmet("not every redacted file is", f"not here: {named}: a partial copy holds every redacted file")
    for problem in checks.policy(found, expected.policy_file):
        yield Unmet("this is not the policy as it was run", problem)
    for problem in checks.model(predicate, expected.model):
        yield Unmet("this is not the model that was audited", problem)
    yield from _not_passed(predicate, expected.require)


def _not_passed(predicate: SealedPredicate, require: Required | None) -> Iterator[Unmet]:
    words = waiver_checks.verdict_words(predicate)
    if require and predicate.verdict.outcome != "pass":
        yield Unmet("its verdict is no pass", f"the verdict is {words}, not pass")
    elif require == "unwaived-pass" and waiver_checks.waived_rules(predicate):
        yield Unmet("its verdict is no pass without waivers", f"the verdict is {words}")


def _signer(found: Attestation, expected: _Expected) -> str:
    """Who signed, as far as the keys given prove it."""
    if not found.signed:
        return UNSIGNED
    if expected.key is None:
        return UNKNOWN
    by = f"Ed25519 key {expected.key.keyid}"
    if expected.certificate is None:
        return by
    return f"{by}, certificate {visible(expected.certificate.subject.rfc4514_string())}"


def _notes(found: Attestation, expected: _Expected) -> Iterator[str]:
    if not found.signed:
        yield "UNSIGNED: nobody vouches for this run, and anybody could have made or changed it as a whole"
    elif expected.key is None:
        yield "signer unknown: without the signer's public key (--key) anybody could have made and signed this run"
    if isinstance(expected.model, ModelIdentity) and not expected.model.manifest.sha256:
        yield f"the model's manifest was not compared: {visible(expected.model.manifest.reason) or 'there is none'}"
    for change in found.statement.predicate.policy.overrides:
        yield f"the policy was changed from the command line: {visible(change)}"

"""``auditkit purge``: everything that holds texts of the data is erased; what stays still verifies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from auditkit.auditing.events import now
from auditkit.auditing.run_folder import RunFolder
from auditkit.errors import AuditkitError, SigningError
from auditkit.files import storage_errors, write_bytes
from auditkit.policy.presets import read_file
from auditkit.policy.schema import Retention
from auditkit.signing import attestation
from auditkit.signing import purge as signed
from auditkit.signing.attestation import Attestation
from auditkit.signing.base import SignerFacts, Subject
from auditkit.signing.files import Listing, list_folder, visible
from auditkit.signing.keys import given_signer
from auditkit.signing.registration import parse_moment
from auditkit.signing.verify import verify

FOLDERS = ("evidence", "weights")


@dataclass(frozen=True)
class PurgePlan:
    """What a purge of a run would do. ``goes`` is still there; ``begun``: an earlier purge was cut off.

    ``by``: whom the policy names as auditor. ``due``: when the retention period is over, None where none is declared.
    """

    run: RunFolder
    found: Attestation
    files: tuple[Subject, ...]
    goes: tuple[str, ...]
    stays: tuple[str, ...]
    begun: bool
    by: str
    key: str
    days: int | None
    due: datetime | None

    @property
    def is_due(self) -> bool:
        """Whether the policy's retention period is over."""
        return self.due is not None and datetime.now(UTC) >= self.due


def plan(run: RunFolder) -> PurgePlan:
    """What would go and what would stay. Nothing is changed.

    Raises:
        AuditkitError: the run is not finished, or does not verify: a purge would erase what shows why.
    """
    if not run.finished:
        raise AuditkitError(f"{run.path} is not finished", f"go on with it: auditkit run --resume {run.path}")
    listing = list_folder(run.path)
    _refuse_broken(run, listing)
    found = attestation.read(run.path)
    with_texts = signed.files_with_texts(run.path, listing)
    files = tuple(subject for subject in found.statement.subject if signed.is_purgeable(subject.name, with_texts))
    policy = read_file(run.lock_file)[0].data
    days = _retention_days(policy)
    return PurgePlan(
        run=run,
        found=found,
        files=files,
        goes=tuple(file.name for file in files if file.name in listing.files),
        stays=tuple(name for name in listing.files if not signed.is_purgeable(name, with_texts)),
        begun=run.purged,
        by=str(_declared(policy, "release", "auditor") or ""),
        key=str(_declared(policy, "report", "sign", "key") or ""),
        days=days,
        due=_finished(found) + timedelta(days=days) if days is not None else None,
    )


def purge(plan: PurgePlan, *, key: str = "", by: str = "", at_once: bool = False) -> Path:
    """Write the purge statement, then erase what it names; gone on with where an earlier purge was cut off.

    Args:
        plan: What ``plan`` found.
        key: The run's signing key: PEM text, a key file's path, or ``env:NAME``; by default what the policy names.
        by: Who purges; by default the policy's auditor.
        at_once: Also before the retention period is over, or where the policy declares none.

    Returns:
        The statement's file.

    Raises:
        AuditkitError: the retention period is not over.
        SigningError: the run is signed, and the key is not there or another one.
        RunError: another process works on the run, or a file cannot be erased; purge again.
    """
    if not (plan.begun or plan.is_due or at_once):
        raise _too_early(plan)
    with plan.run.exclusive():
        if not plan.run.purged:
            _write_statement(plan, key, by)
        for name in plan.goes:
            _erase(plan.run.path / name)
        _drop_empty_folders(plan)
    return plan.run.purge_file


def _refuse_broken(run: RunFolder, listing: Listing) -> None:
    """Of a purge that was cut off, what it left is no problem: that is gone on with."""
    checked = verify(run.path)
    left = signed.left(frozenset(checked.purged), listing)
    problems = [problem for problem in checked.problems if problem not in left]
    if problems:
        raise AuditkitError(
            f"{run.path} does not verify, and a purge would erase what shows why:\n  - " + "\n  - ".join(problems[:20]),
            "put back what was attested, and take out what was not; or delete the folder by hand: it proves nothing",
        )


def _too_early(plan: PurgePlan) -> AuditkitError:
    if plan.due is None:
        return AuditkitError(
            "the policy of this run declares no retention period (report.retention.days)",
            "give --now to purge it all the same",
        )
    return AuditkitError(
        f"the retention period of {plan.days} days ends on {plan.due:%Y-%m-%d %H:%M} UTC",
        "wait, or give --now: the statement will say that the purge was early",
    )


def _declared(policy: Any, *keys: str) -> Any:
    """What the locked policy says at a place, None where it says nothing."""
    for key in keys:
        policy = policy.get(key) if isinstance(policy, dict) else None
    return policy


def _retention_days(policy: Any) -> int | None:
    declared = _declared(policy, "report", "retention")
    try:
        return Retention.model_validate(declared).days if declared is not None else None
    except ValidationError:
        raise AuditkitError(
            "the locked policy's report.retention is no number of days", "delete the folder by hand"
        ) from None


def _finished(found: Attestation) -> datetime:
    try:
        return parse_moment(found.statement.predicate.finished)
    except ValueError:
        raise AuditkitError("the attestation does not say when the run finished", "delete the folder by hand") from None


def _write_statement(plan: PurgePlan, key: str, by: str) -> None:
    from auditkit import __version__

    signer = plan.found.statement.predicate.signer
    predicate = signed.PurgePredicate(
        run_id=plan.found.statement.predicate.run_id,
        purged_at=now(),
        by=visible(by or plan.by),
        auditkit_version=__version__,
        retention_days=plan.days,
        early=not plan.is_due,
        purged=plan.files,
        signer=signer,
    )
    sealed = signed.seal(predicate, plan.run.attestation.read_bytes(), _signer(signer, key or plan.key))
    write_bytes(plan.run.purge_file, sealed)


def _signer(signer: SignerFacts | None, key: str) -> Any:
    """What signs the statement: the key that signed the run; None where nobody did."""
    if signer is None:
        return None
    if not key:
        raise SigningError("the run is signed, and its policy names no key", "give it: --key auditkit.key")
    found = given_signer(key)
    if found.public_key.keyval["public"] != signer.public_key:
        raise SigningError(
            f"the run was signed with another key than the one given, key id {signer.key_id}",
            "give that one with --key: a purge is signed by whoever signed the run",
        )
    return found


def _erase(path: Path) -> None:
    with storage_errors(path):
        path.unlink(missing_ok=True)


def _drop_empty_folders(plan: PurgePlan) -> None:
    """The emptied folders go too; and what was done is on disk when the command says so."""
    run = plan.run.path
    emptied = {*FOLDERS, *(file.name.split("/")[0] for file in plan.files)}
    for name in sorted(list_folder(run).folders, reverse=True):
        if name.split("/")[0] in emptied and not any((run / name).iterdir()):
            with storage_errors(run / name):
                (run / name).rmdir()
    with storage_errors(run):
        descriptor = os.open(run, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

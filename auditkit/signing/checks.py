"""The single checks behind ``verify``: each yields one sentence for each thing that fails."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit import strict_json
from auditkit.errors import AuditkitError
from auditkit.policy.base import policy_sha256
from auditkit.records import ModelIdentity
from auditkit.signing import attestation, dsse, event_chain, statements
from auditkit.signing.attestation import Attestation
from auditkit.signing.base import (
    ATTESTATION,
    AUDIT,
    AUDIT_REDACTED,
    EVENTS,
    PDFS,
    POLICY_LOCK,
    PURGE,
    ModelFacts,
    SealedPredicate,
)
from auditkit.signing.files import Listing, read_bounded, sha256_of, visible

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from securesystemslib.signer import SSlibKey

AUDIT_LIMIT = 512 << 20
POLICY_LIMIT = 64 << 20


def files(folder: Path, listing: Listing, found: Attestation, purged: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every file has the attested digest; none is missing that was not ``purged``; nothing else is there."""
    expected = {subject.name: subject.digest.sha256 for subject in found.statement.subject}
    names = [subject.name for subject in found.statement.subject]
    if names != sorted(set(names)) or ATTESTATION in expected:
        yield "the attestation's list of files is not sorted, names a file twice, or names itself"
    for name in sorted(expected.keys() & set(listing.files)):
        yield from _digest(folder, name, expected[name])
    for name in sorted(expected.keys() - set(listing.files) - purged):
        yield f"{visible(name)} is missing"
    for name in sorted(set(listing.files) - expected.keys() - {ATTESTATION, PURGE}):  # which has a check of its own
        yield f"{visible(name)} is an extra file that was not attested"
    ordered = sorted(expected)
    for name in listing.folders:
        if not _holds_any(name, ordered):
            yield f"{visible(name)}/ is an extra folder that was not attested"
    for name in listing.strange:
        yield f"{visible(name)} is a link or no plain file, which no run writes"


def _holds_any(folder: str, names: list[str]) -> bool:
    """Whether one of the sorted names lies below the folder."""
    place = bisect_left(names, f"{folder}/")
    return place < len(names) and names[place].startswith(f"{folder}/")


def _digest(folder: Path, name: str, expected: str) -> Iterator[str]:
    try:
        if sha256_of(folder / name) != expected:
            yield f"{visible(name)} was changed: its SHA-256 is not the attested one"
    except OSError as error:
        yield f"{visible(name)} cannot be read ({error.strerror or error})"


def checksum(found: Attestation) -> Iterator[str]:
    """The statement fits its own checksum, signed or not."""
    raw = strict_json.parse(found.envelope.payload)
    if attestation.checksum(raw) != found.statement.predicate.checksum:
        yield "the attestation was changed: its statement does not fit its checksum"


def signature(found: Attestation, key: SSlibKey | None) -> Iterator[str]:
    """The envelope is signed by the key given, or else by the key that the statement itself names."""
    signer = found.statement.predicate.signer
    if not found.signed:
        if key:
            yield "the attestation is UNSIGNED, so that it is not by the key given"
        if signer:
            yield "the attestation's signature was removed: its statement names a signer, but it is UNSIGNED"
        return
    if signer is None:
        yield "the attestation is signed, but its statement names no signer"
    elif key and signer.public_key != key.keyval["public"]:
        yield f"the attestation is by another signer: key id {signer.key_id}, not {key.keyid}"
    named = key or (statements.key_of(signer) if signer else None)
    if named and not dsse.is_signed_by(found.envelope, named):
        yield f"the attestation's signature is not a valid one of the key with id {named.keyid}"


def certificates(
    folder: Path,
    listing: Listing,
    predicate: SealedPredicate,
    certificate: Certificate | None,
    authority: Certificate | None = None,
) -> Iterator[str]:
    """The PDFs are signed with the certificate that the statement names, and that is the one given."""
    from auditkit.signing.keys import fingerprint
    from auditkit.signing.pdf_signature import check_pdf

    signer = predicate.signer
    given = fingerprint(certificate) if certificate else None
    if given and signer is None:
        yield "the run is UNSIGNED, so that its PDF reports are not by the certificate given"
    if given and signer and signer.certificate_sha256 != given:
        yield f"the run was signed with another certificate than the one given, SHA-256 {signer.certificate_sha256}"
    expected = given or (signer.certificate_sha256 if signer else None)
    for name in PDFS:
        if expected and name in listing.files:
            yield from (f"{name}: {problem}" for problem in check_pdf(folder / name, expected, authority))


def stamps(folder: Path, listing: Listing, authority: Certificate | None) -> Iterator[str]:
    """When the PDFs were time-stamped and by whom, as sentences."""
    from auditkit.signing.pdf_signature import examine_pdf

    for name in PDFS:
        if name in listing.files and (stamp := examine_pdf(folder / name, None, authority)[0]):
            yield f"{name} {stamp.sentence}"


def events(folder: Path, listing: Listing) -> Iterator[str]:
    """The event log is an unbroken chain, closed at its end."""
    if EVENTS in listing.files:
        yield from (f"{EVENTS}: {problem}" for problem in event_chain.check_chain(folder / EVENTS))


def core_files(found: Attestation) -> Iterator[str]:
    """What every run consists of is among the attested files."""
    names = {subject.name for subject in found.statement.subject}
    for name in (AUDIT, POLICY_LOCK, EVENTS):
        if name not in names:
            yield f"{name} is not among the attested files, but every run has one"


def lock(found: Attestation) -> Iterator[str]:
    """The attestation says one thing of the policy's lock."""
    facts = found.statement.predicate.policy
    locks = [subject.digest.sha256 for subject in found.statement.subject if subject.name == POLICY_LOCK]
    if locks and locks != [facts.lock_sha256]:
        yield f"the attestation contradicts itself: its digest of {POLICY_LOCK} is not that of the file it lists"


def policy(found: Attestation, policy_file: Path | None) -> Iterator[str]:
    """The policy given is the one that was run."""
    if policy_file is None:
        return
    facts = found.statement.predicate.policy
    _policy_bytes(policy_file)
    given = policy_sha256(policy_file)
    if given not in (facts.sha256, facts.lock_sha256):
        yield f"another policy was run: {visible(str(policy_file))} has SHA-256 {given}, the audited one {facts.sha256}"
    elif given != facts.lock_sha256 and facts.overrides:
        changes = "; ".join(visible(change) for change in facts.overrides)
        yield f"the policy was run with changes from the command line: {changes}"


def _policy_bytes(path: Path) -> bytes:
    try:
        return read_bounded(path.resolve(), POLICY_LIMIT)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AuditkitError(f"cannot read the policy {path}: {reason}", "check the path") from None


def model(predicate: SealedPredicate, given: ModelIdentity | str | None) -> Iterator[str]:
    """The model given is the audited candidate: weights and, where known, tokenizer and chat template."""
    if given is None:
        return
    audited = next((facts for facts in predicate.models if facts.role == "candidate"), None)
    if audited is None:
        yield "the attestation names no candidate model"
    elif isinstance(given, str):
        if given != audited.sha256:
            yield f"another model was audited: SHA-256 {audited.sha256}, not {given}"
    else:
        for part, name in (("", "model"), ("tokenizer_", "tokenizer"), ("chat_template_", "chat template")):
            ours, theirs = getattr(given, f"{part}sha256"), getattr(audited, f"{part}sha256")
            if ours != theirs:
                yield f"another {name} was audited: SHA-256 {theirs or 'none'}, not {ours or 'none'}"
        yield from _manifest(given, audited)


def _manifest(given: ModelIdentity, audited: ModelFacts) -> Iterator[str]:
    """The whole folder is as it was; compared where it was known then and can be known now."""
    ours, theirs = given.manifest.sha256, audited.manifest_sha256
    if not (ours and theirs) or ours == theirs:
        return
    other = " (weights and configuration are the audited ones)" if given.sha256 == audited.sha256 else ""
    yield f"the model's files are not those that were audited{other}: model-signing manifest {theirs}, not {ours}"


def audit_json(folder: Path, listing: Listing, found: Attestation) -> Iterator[str]:
    """audit.json tells the same story as the statement: run, policy, models, datasets, verdict, signature.

    So does the redacted one, which is all that is left of a purged run.
    """
    for name in (AUDIT, AUDIT_REDACTED):
        if name in listing.files:
            yield from _same_story(folder, name, found)


def _same_story(folder: Path, name: str, found: Attestation) -> Iterator[str]:
    try:
        told = _story_of_audit(strict_json.parse(read_bounded(folder / name, AUDIT_LIMIT)))
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        yield f"{name} is not a readable audit result"
        return
    attested = _story_of_statement(found)
    for part in attested:
        if told[part] != attested[part]:
            yield f"{name} and the attestation disagree on the {part}"


def _story_of_statement(found: Attestation) -> dict[str, Any]:
    facts = found.statement.predicate.model_dump(mode="json")
    verdict = facts["verdict"]
    return {
        "run": [facts["run_id"], facts["finished"], facts["auditkit_version"]],
        "code": [facts["code_sha256"], facts["git_commit"]],
        "policy": [facts["policy"]["name"], facts["policy"]["sha256"]],
        "models": [list(entry.values()) for entry in facts["models"]],
        "datasets": [list(entry.values()) for entry in facts["datasets"]],
        "verdict": [verdict["outcome"], verdict["arm"]],
        "rules": [list(entry.values()) for entry in verdict["rules"]],
        "signature": found.signed,
    }


def _story_of_audit(audit: Any) -> dict[str, Any]:
    run, provenance, verdict = audit["run"], audit["provenance"], audit["verdict"]
    return {
        "run": [run["id"], run["finished"], run["auditkit_version"]],
        "code": [provenance["code_sha256"], provenance["git_commit"]],
        "policy": [audit["policy"]["name"], audit["policy"]["sha256"]],
        "models": [_story_of_model(model) for model in audit["models"]],
        "datasets": _columns(audit["datasets"], "name", "merkle_root", "records", "controls"),
        "verdict": [verdict["outcome"], verdict["arm"]],
        "rules": _columns(verdict["rules"], "rule", "dataset", "outcome"),
        "signature": audit["signature"]["signed"],
    }


def _story_of_model(model: dict[str, Any]) -> list[Any]:
    """As `ModelFacts` has it; results of earlier versions know neither manifest nor signature."""
    known = [model[name] for name in ("role", "sha256", "tokenizer_sha256", "chat_template_sha256")]
    return [*known, model.get("manifest", {}).get("sha256", ""), model.get("signature", {}).get("signer", "")]


def _columns(rows: list[dict[str, Any]], *keys: str) -> list[list[Any]]:
    return [[row[key] for key in keys] for row in rows]

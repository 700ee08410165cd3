"""Every waived rule of a run is backed by the waiver file in its folder: signed, in force when the run ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from auditkit import strict_json
from auditkit.errors import AuditkitError, SigningError
from auditkit.report.base import Outcome, RuleResult, Waiver
from auditkit.signing.attestation import Attestation
from auditkit.signing.base import AUDIT, AUDIT_REDACTED, SealedPredicate
from auditkit.signing.checks import AUDIT_LIMIT
from auditkit.signing.files import Listing, read_bounded, visible
from auditkit.signing.waiver_file import APPROVER, SIZE_LIMIT, WAIVERS, SignedWaivers, read

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


def waivers(
    folder: Path,
    listing: Listing,
    found: Attestation,
    approver: SSlibKey | None,
    absent: frozenset[str] = frozenset(),
) -> Iterator[str]:
    """What is wrong with the waivers that the verdict rests on.

    ``approver``: the key that must have signed them; without it the one in the run folder, which the policy named.
    ``absent``: what is not in a partial copy of the run; who waived is then the signer's word, unless asked for.
    """
    predicate = found.statement.predicate
    if waived_rules(predicate) == 0:
        return
    missing = [name for name in (WAIVERS, APPROVER) if name not in listing.files]
    if missing:
        if approver is None and absent.issuperset(missing):
            return
        yield f"rules are waived, but {' and '.join(missing)} is missing: nothing shows who waived them"
        return
    try:
        signed = _signed(folder, approver)
    except (OSError, ValueError, SigningError) as error:
        yield f"{WAIVERS} cannot be read ({visible(str(error))})"
        return
    if not signed.by_approver:
        yield _other_signer(approver_id(folder, listing), approver)
    yield from _backing(folder, listing, predicate, signed)


def _other_signer(named: str, given: SSlibKey | None) -> str:
    said = f"rules are waived, but {WAIVERS} is not validly signed by the approver"
    if given is None:
        return f"{said} whom the run names, key id {named}"
    return f"{said} given, key id {given.keyid}; the run names key id {named or 'none'}"


def verdict_words(predicate: SealedPredicate) -> str:
    """The outcome; a pass that is one by waivers says so."""
    outcome, waived = predicate.verdict.outcome, waived_rules(predicate)
    return f"{outcome}, with {waived} failed rule{'s' * (waived != 1)} waived" if waived else outcome


def waived_rules(predicate: SealedPredicate) -> int:
    """How many rules of the attested verdict are waived."""
    return sum(rule.outcome == "waived" for rule in predicate.verdict.rules)


def _signed(folder: Path, approver: SSlibKey | None) -> SignedWaivers:
    from auditkit.signing.keys import load_public_key

    return read(read_bounded(folder / WAIVERS, SIZE_LIMIT), approver or load_public_key(folder / APPROVER))


def _backing(folder: Path, listing: Listing, predicate: SealedPredicate, signed: SignedWaivers) -> Iterator[str]:
    if signed.sheet.policy != predicate.policy.name:
        yield f"rules are waived, but {WAIVERS} is for the policy {visible(signed.sheet.policy)}"
    model = next((facts.sha256 for facts in predicate.models if facts.role == "candidate"), "")
    day = predicate.finished[:10]
    force = {number: one for number, one in enumerate(signed.sheet.waivers, 1) if one.state(day, model) == "in force"}
    name = next((name for name in (AUDIT, AUDIT_REDACTED) if name in listing.files), None)
    if name is None:  # purged, and made by an auditkit that kept no redacted result
        if not force:
            yield f"rules are waived, but no waiver in {WAIVERS} was in force when the run ended"
        return
    try:
        results, attacks = _told(folder / name)
    except (OSError, ValueError, LookupError, TypeError):
        yield f"rules are waived, but which they are cannot be read from {name}"
        return
    for result in results:
        if not _is_backed(result, force, attacks):
            yield f"the rule {visible(result.rule)} is waived, but no waiver in force in {WAIVERS} covers it"


def _told(file: Path) -> tuple[list[RuleResult], set[str]]:
    """The waived rules of a result, and the names of its attacks."""
    audit = strict_json.parse(read_bounded(file, AUDIT_LIMIT))
    waived = [rule for rule in audit["verdict"]["rules"] if rule["outcome"] == "waived"]
    return [RuleResult.model_validate(rule) for rule in waived], {attack["name"] for attack in audit["attacks"]}


def notes(folder: Path, listing: Listing, found: Attestation, approver: SSlibKey | None) -> Iterator[str]:
    """What is to be read with a verdict that rests on waivers; ``approver``: as for ``waivers``."""
    waived = waived_rules(found.statement.predicate)
    if waived == 0:
        if approver is not None:
            yield "no rule is waived, so that nothing rests on the approver given"
        return
    yield _rests_on(waived, found.statement.predicate.verdict.outcome)
    if approver is None:
        yield f"approver unknown: without the approver's public key (--approver) {APPROVER} is the run's own word"
    try:
        signed, key = _signed(folder, approver), approver_id(folder, listing)
    except (OSError, ValueError, SigningError):
        return  # a problem, told as one
    if approver is not None and signed.by_approver:
        yield f"the waivers are signed by the approver given, key id {approver.keyid}"
    signer = found.statement.predicate.signer
    if signer and signer.key_id == (approver.keyid if approver else key):
        yield "the approver's key is the one that signed the run: nobody else agreed to these waivers"
    if any(one.record for one in signed.sheet.waivers) and APPROVER in listing.files:
        yield "records are waived: that a rule waived record by record has no other leaked record is the run's own word"


def _rests_on(waived: int, outcome: Outcome) -> str:
    said = f"{waived} failed rule{'s' * (waived != 1)} waived"
    if outcome == "pass":
        return f"{said}: this is not a pass by the figures alone"
    return f"{said}: the verdict is {outcome} all the same"


def approver_id(folder: Path, listing: Listing) -> str:
    """Id of the key that the run names as the approver's; "" where it names none, or what is there is no key."""
    from auditkit.signing.keys import load_public_key

    try:
        return str(load_public_key(folder / APPROVER).keyid) if APPROVER in listing.files else ""
    except AuditkitError:
        return ""


def _is_backed(result: RuleResult, force: dict[int, Waiver], attacks: set[str]) -> bool:
    """By a waiver of the rule; or by waivers of records, of which the evidence alone could say that they are all."""
    named = [force[number] for number in result.waivers if number in force]
    return len(named) == len(result.waivers) > 0 and all(_covers(one, result, attacks) for one in named)


def _covers(waiver: Waiver, result: RuleResult, attacks: set[str]) -> bool:
    rule = waiver.rule
    if rule is None:
        return result.attack in attacks  # a probe's figure is not made of leaked records
    value = result.estimate.value if result.estimate else None
    about = rule.is_about(result.metric, result.attack, result.dataset, result.view, result.limit)
    return about and rule.holds_at(value)

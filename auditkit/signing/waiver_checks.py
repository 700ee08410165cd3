"""Every waived rule of a run is backed by the waiver file in its folder: signed, in force when the run ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from auditkit.errors import SigningError
from auditkit.report.base import RuleResult, Waiver
from auditkit.signing import strict_json
from auditkit.signing.attestation import Attestation
from auditkit.signing.base import AUDIT, SealedPredicate
from auditkit.signing.checks import AUDIT_LIMIT
from auditkit.signing.files import Listing, read_bounded, visible
from auditkit.signing.waiver_file import APPROVER, SIZE_LIMIT, WAIVERS, SignedWaivers, read

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


def waivers(folder: Path, listing: Listing, found: Attestation, approver: SSlibKey | None) -> Iterator[str]:
    """What is wrong with the waivers that the verdict rests on.

    ``approver``: the key that must have signed them; without it the one in the run folder, which the policy named.
    """
    predicate = found.statement.predicate
    if waived_rules(predicate) == 0:
        return
    missing = [name for name in (WAIVERS, APPROVER) if name not in listing.files]
    if missing:
        yield f"rules are waived, but {' and '.join(missing)} is missing: nothing shows who waived them"
        return
    try:
        signed = _signed(folder, approver)
    except (OSError, ValueError, SigningError) as error:
        yield f"{WAIVERS} cannot be read ({visible(str(error))})"
        return
    yield from _backing(folder, listing, predicate, signed)


def waived_rules(predicate: SealedPredicate) -> int:
    """How many rules of the attested verdict are waived."""
    return sum(rule.outcome == "waived" for rule in predicate.verdict.rules)


def _signed(folder: Path, approver: SSlibKey | None) -> SignedWaivers:
    from auditkit.signing.keys import load_public_key

    return read(read_bounded(folder / WAIVERS, SIZE_LIMIT), approver or load_public_key(folder / APPROVER))


def _backing(folder: Path, listing: Listing, predicate: SealedPredicate, signed: SignedWaivers) -> Iterator[str]:
    if not signed.by_approver:
        yield f"rules are waived, but {WAIVERS} is not validly signed by the approver"
    if signed.sheet.policy != predicate.policy.name:
        yield f"rules are waived, but {WAIVERS} is for the policy {visible(signed.sheet.policy)}"
    model = next((facts.sha256 for facts in predicate.models if facts.role == "candidate"), "")
    day = predicate.finished[:10]
    force = {number: one for number, one in enumerate(signed.sheet.waivers, 1) if one.state(day, model) == "in force"}
    if AUDIT not in listing.files:
        if not force:
            yield f"rules are waived, but no waiver in {WAIVERS} was in force when the run ended"
        return
    for result in _results(folder):
        if not _is_backed(result, force):
            yield f"the rule {visible(result.rule)} is waived, but no waiver in force in {WAIVERS} covers it"


def _results(folder: Path) -> Iterator[RuleResult]:
    """The waived rules of audit.json; where it cannot be read, that is told by another check."""
    try:
        rules = strict_json.parse(read_bounded(folder / AUDIT, AUDIT_LIMIT))["verdict"]["rules"]
        yield from [RuleResult.model_validate(rule) for rule in rules if rule["outcome"] == "waived"]
    except (OSError, ValueError, ValidationError, LookupError, TypeError):
        return


def _is_backed(result: RuleResult, force: dict[int, Waiver]) -> bool:
    """By a waiver of the rule; or by waivers of records, of which the evidence alone could say that they are all."""
    named = [force[number] for number in result.waivers if number in force]
    return len(named) == len(result.waivers) > 0 and all(_covers(one, result) for one in named)


def _covers(waiver: Waiver, result: RuleResult) -> bool:
    rule = waiver.rule
    if rule is None:
        return True
    value = result.estimate.value if result.estimate else None
    about = rule.is_about(result.metric, result.attack, result.dataset, result.view, result.limit)
    return about and rule.holds_at(value)

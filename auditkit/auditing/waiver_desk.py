"""Adding to a policy's waiver file: checked, signed anew as a whole, never over what somebody else signed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from auditkit.auditing.waiving import WaiverSource, declare, waiver_source
from auditkit.errors import AuditkitError, SigningError
from auditkit.files import make_folder, write_bytes
from auditkit.policy.schema import Policy, Rule, WaiversSection
from auditkit.policy.suggestions import nearest
from auditkit.report.base import DeclaredWaiver, WaivedRule, Waiver
from auditkit.signing.keys import given_signer
from auditkit.signing.waiver_file import MOST_WAIVERS, WaiverSheet, seal


def today() -> str:
    """The present day in UTC, YYYY-MM-DD."""
    return datetime.now(UTC).date().isoformat()


def section_of(policy: Policy) -> WaiversSection:
    """The policy's ``waivers``.

    Raises:
        AuditkitError: it has none.
    """
    if policy.waivers is None:
        raise AuditkitError(
            "the policy names no approver, so that nothing can be waived",
            "add to it: waivers: {file: waivers.dsse.json, key: keys/approver.pub}",
        )
    return policy.waivers


def listed(policy: Policy, model_sha256: str = "") -> tuple[WaiverSource, list[DeclaredWaiver]]:
    """Every waiver of the policy with its state today; one that is bound to a model counts as in force.

    Raises:
        AuditkitError: the policy has no ``waivers``, or key or file are unusable.
    """
    source = waiver_source(section_of(policy))
    declared = list(declare(source, policy.name, today(), model_sha256))
    if not model_sha256:
        declared = [one if one.state != "other model" else _in_force(one) for one in declared]
    return source, declared


def listed_for_the_model(policy: Policy) -> tuple[WaiverSource, list[DeclaredWaiver]]:
    """The same, held against the policy's candidate where a waiver is bound to a model: all its weights are read.

    Raises:
        AuditkitError: as for ``listed``; the candidate is not there.
    """
    source, declared = listed(policy)
    if not any(one.waiver.model_sha256 for one in declared):
        return source, declared
    identity = policy.models.candidate.preflight("candidate").identity
    return listed(policy, identity.sha256 if identity else "")


def add(policy: Policy, waiver: Waiver, key: str) -> int:
    """Append a waiver and sign the whole file with the approver's key; its number.

    ``key``: ``env:NAME``, PEM text, or the path of a key file.

    Raises:
        AuditkitError: a key that is not the approver's, a file that the approver did not sign, or one that is full.
    """

    def appended(before: tuple[Waiver, ...]) -> tuple[Waiver, ...]:
        if len(before) >= MOST_WAIVERS:
            file = section_of(policy).file
            raise AuditkitError(f"{file} holds {MOST_WAIVERS:,} waivers already", "move it away and begin a new one")
        return (*before, waiver)

    return len(_signed_anew(policy, key, appended))


def withdraw(policy: Policy, number: int, key: str) -> Waiver:
    """Take the waiver of this number (from 1) out of the file and sign it anew; those after it move up by one.

    Finished runs keep the waivers that they were made under.

    Raises:
        AuditkitError: as for ``add``; no waiver has this number.
    """
    withdrawn: list[Waiver] = []

    def without(before: tuple[Waiver, ...]) -> tuple[Waiver, ...]:
        if not 1 <= number <= len(before):
            raise AuditkitError(
                f"there is no waiver {number}: the file holds {len(before)}", "auditkit waive POLICY --list shows them"
            )
        withdrawn.append(before[number - 1])
        return before[: number - 1] + before[number:]

    _signed_anew(policy, key, without)
    return withdrawn[0]


def _signed_anew(
    policy: Policy, key: str, change: Callable[[tuple[Waiver, ...]], tuple[Waiver, ...]]
) -> tuple[Waiver, ...]:
    """The waivers after a change, written and signed as a whole."""
    section = section_of(policy)
    signer = given_signer(key)
    file = Path(section.file)
    make_folder(file.parent)
    with _alone(file.parent):
        source = waiver_source(section)
        if signer.public_key.keyid != source.key.keyid:
            raise SigningError(
                f"this is not the approver's key: the policy names {section.key}",
                "sign with the private key that belongs to it: only that one's waivers count",
            )
        sheet = WaiverSheet(policy=policy.name, waivers=change(_before(source, policy, file)))
        write_bytes(file, seal(sheet, signer))
    return sheet.waivers


def waiver(**facts: object) -> Waiver:
    """A waiver issued today.

    Raises:
        AuditkitError: something in it is out of bounds; says what.
    """
    try:
        return Waiver.model_validate({"issued": today(), **facts})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        said = "; ".join(_complaint(".".join(map(str, one["loc"])), one["msg"]) for one in found)
        raise AuditkitError(f"this waiver cannot be issued: {said}", "auditkit waive --help shows an example") from None


_WANTED = {
    "expires": "is a date such as 2027-03-31",
    "issued": "is a date such as 2027-03-31",
    "record": "is an id as the report prints it: rec- and 20 hex digits",
    "model_sha256": "is a SHA-256 as the report prints it: 64 hex digits in lower case",
}


def _words(policy: Policy, part: str) -> set[str]:
    """Every word that the gate's rules have for this part of them, and what "*" stands for."""
    named = {getattr(rule, part) for rule in policy.gate}
    declared = {"dataset": {data.name for data in policy.datasets}, "attack": {a.label for a in policy.attacks}}
    return named | declared.get(part, set())


def _complaint(field: str, message: str) -> str:
    """What is wrong with one field, in a user's words."""
    if field in _WANTED and "pattern" in message:
        return f"{field} {_WANTED[field]}"
    return ": ".join(filter(None, (field, message.removeprefix("Value error, "))))


def waived_rule(policy: Policy, asked: dict[str, str], limit: float | None, at_most: float | None) -> WaivedRule:
    """The rule of the policy's gate that is meant, with its limit unless one is given.

    Raises:
        AuditkitError: the gate has no such rule, or several with different limits.
    """
    rules = [rule for rule in policy.gate if _meant(policy, rule, asked)]
    limits = sorted({rule.max for rule in rules})
    if not rules:
        gate = "; ".join(f"{rule.metric} of {rule.attack} on {rule.dataset} ({rule.view})" for rule in policy.gate[:8])
        unknown = [f"{part} {word!r}" for part, word in asked.items() if word not in ("*", *_words(policy, part))]
        which = f" with {' and '.join(unknown)}" if unknown else ""
        raise AuditkitError(f"the policy's gate has no rule{which}", f"{_meant_instead(policy, asked)}it has: {gate}")
    if limit is None and len(limits) > 1:
        shown = ", ".join(f"{one:g}" for one in limits)
        raise AuditkitError(f"several rules fit, with the limits {shown}", "say which one is waived: --max LIMIT")
    waived = limits[0] if limit is None else limit
    try:
        rule = WaivedRule(**asked, max=waived, at_most=at_most)
    except ValidationError as error:
        raise _no_such_rule(error) from None
    _refuse_what_never_holds(rule, limits)
    return rule


def _no_such_rule(error: ValidationError) -> AuditkitError:
    found = error.errors()[0]
    option = f"--{'.'.join(map(str, found['loc'])).replace('_', '-')}"
    if option in ("--max", "--at-most"):
        return AuditkitError(f"{option} is a share, from 0 to 1", "give it as a fraction: 0.13 for 13 %")
    return AuditkitError(f"{option} is no name of a rule's", "give names as the report prints them")


def _refuse_what_never_holds(rule: WaivedRule, limits: list[float]) -> None:
    """A rule fails above its limit: a waiver that ends at or below that could never apply."""
    lowest = min((one for one in limits if one >= rule.max), default=rule.max)
    if rule.at_most is not None and rule.at_most <= lowest:
        raise AuditkitError(
            f"--at-most {rule.at_most:g} is not above the limit, {lowest:g}: a figure up to it fails no rule",
            "give the figure up to which the failure is to be waived, or leave --at-most out",
        )


def _meant_instead(policy: Policy, asked: dict[str, str]) -> str:
    """The nearest words to those that no rule has."""
    unknown = {part: word for part, word in asked.items() if word not in ("*", *_words(policy, part))}
    found = [repr(near) for part, word in unknown.items() if (near := nearest(word, _words(policy, part) - {"*"}))]
    return f"did you mean {' and '.join(found)}? " if found else ""


def matches_gate(policy: Policy, rule: WaivedRule) -> bool:
    """Whether any rule of the gate could be turned by it."""
    asked = {"metric": rule.metric, "attack": rule.attack, "dataset": rule.dataset, "view": rule.view}
    return any(_meant(policy, one, asked) and rule.max <= one.max for one in policy.gate)


def _meant(policy: Policy, rule: Rule, asked: dict[str, str]) -> bool:
    """Whether a rule of the gate and what was asked can meet."""
    datasets = {section.name for section in policy.datasets if rule.dataset in ("*", section.name)}
    dataset = asked["dataset"] == "*" or asked["dataset"] in datasets
    return rule.metric == asked["metric"] and dataset and _attack_fits(policy, rule, asked["attack"])


def _attack_fits(policy: Policy, rule: Rule, attack: str) -> bool:
    """By the names that reports use. What a mitigated arm's own attacks are called is known when it is run."""
    names = {one.label: one.kind for one in policy.prefix_attacks} | {p.label: p.kind for p in policy.record_probes}
    if attack == "*" or (policy.mitigations and attack not in names):
        return True
    return attack in names and rule.attack in ("*", attack, names[attack])


def _before(source: WaiverSource, policy: Policy, file: Path) -> tuple[Waiver, ...]:
    if source.found is None:
        return ()
    if not source.found.by_approver:
        raise SigningError(
            f"{file} is not validly signed by the approver: signing it anew would make all of it valid",
            "move it away, and issue again what you stand for",
        )
    if source.found.sheet.policy != policy.name:
        raise AuditkitError(
            f"{file} is for the policy {source.found.sheet.policy}, not {policy.name}",
            "name another file in the policy",
        )
    return source.found.sheet.waivers


def _in_force(one: DeclaredWaiver) -> DeclaredWaiver:
    return one.model_copy(update={"state": "in force"})


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Of two who waive at once, the second waits, and adds to what the first wrote."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

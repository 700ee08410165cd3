"""Adding to a policy's waiver file: checked, signed anew as a whole, never over what somebody else signed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from auditkit.auditing.waiving import WaiverSource, declare, waiver_source
from auditkit.errors import AuditkitError, SigningError
from auditkit.files import make_folder, write_bytes
from auditkit.policy.schema import Policy, Rule, WaiversSection
from auditkit.report.base import DeclaredWaiver, WaivedRule, Waiver
from auditkit.signing.keys import load_signer, resolve
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


def add(policy: Policy, waiver: Waiver, key: str) -> int:
    """Append a waiver and sign the whole file with the approver's key; its number.

    ``key``: ``env:NAME``, PEM text, or the path of a key file.

    Raises:
        AuditkitError: a key that is not the approver's, a file that the approver did not sign, or one that is full.
    """
    section = section_of(policy)
    signer = load_signer(resolve(key) if key.startswith("env:") else key)
    file = Path(section.file)
    make_folder(file.parent)
    with _alone(file.parent):
        source = waiver_source(section)
        if signer.public_key.keyid != source.key.keyid:
            raise SigningError(
                f"this is not the approver's key: the policy names {section.key}",
                "sign with the private key that belongs to it: only that one's waivers count",
            )
        before = _before(source, policy, file)
        if len(before) >= MOST_WAIVERS:
            raise AuditkitError(f"{file} holds {MOST_WAIVERS:,} waivers already", "move it away and begin a new one")
        sheet = WaiverSheet(policy=policy.name, waivers=(*before, waiver))
        write_bytes(file, seal(sheet, signer))
    return len(sheet.waivers)


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
        raise AuditkitError(f"the policy's gate has no rule{which}", f"it has: {gate}")
    if limit is None and len(limits) > 1:
        shown = ", ".join(f"{one:g}" for one in limits)
        raise AuditkitError(f"several rules fit, with the limits {shown}", "say which one is waived: --max LIMIT")
    try:
        return WaivedRule(**asked, max=limits[0] if limit is None else limit, at_most=at_most)
    except ValidationError as error:
        raise AuditkitError(
            f"no rule can be named so: {error.errors()[0]['msg']}", "give names as the report prints them"
        ) from None


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

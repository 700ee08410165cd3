"""``auditkit register``: the policy, what of model and data is there already, and the runs known so far, signed."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from auditkit.auditing.events import now
from auditkit.auditing.gate_check import gate_of
from auditkit.auditing.known_runs import known_runs
from auditkit.auditing.ledger import Ledger
from auditkit.auditing.prepare import read_members
from auditkit.auditing.publish import signing_keys
from auditkit.auditing.secret import project_secret
from auditkit.auditing.waiving import waiver_source
from auditkit.corpus.merkle import corpus_root
from auditkit.errors import AuditkitError
from auditkit.files import storage_errors, write_bytes
from auditkit.policy.schema import Policy, Sign
from auditkit.signing import registration as signed
from auditkit.signing.base import REGISTRATION, SignerFacts
from auditkit.signing.keys import SigningKeys
from auditkit.signing.registration import (
    RegisteredDataset,
    RegisteredModel,
    RegisteredPolicy,
    RegisteredRule,
    RegistrationPredicate,
)
from auditkit.signing.timestamps import TimeStamp, check_token, request_token

ENVELOPE = ".dsse.json"


@dataclass(frozen=True)
class Registered:
    """A registration as written; ``kept`` is where an earlier one was put.

    ``warnings``: what ``check`` says of its gate. A gate that cannot pass may be registered, but not unawares.
    """

    file: Path
    predicate: RegistrationPredicate
    stamp: TimeStamp | None = None
    stamp_file: Path | None = None
    kept: Path | None = None
    warnings: tuple[str, ...] = ()


def register(
    policy: Policy, out: Path | None = None, reports: Path = Path("reports"), *, again: bool = False
) -> Registered:
    """Sign and, where the policy names an authority, time-stamp a policy before its run.

    Args:
        policy: As the file has it, without overrides.
        out: The registration's file; by default beside the policy, where ``run`` looks for it.
        reports: The folder whose ledger tells of earlier runs.
        again: Keep an earlier registration under a numbered name, and name it in the new one.

    Raises:
        AuditkitError: the policy asks for no signature, or is registered already.
        SigningError: no usable key, or no time stamp to be had; nothing was written then.
        RunError: the file cannot be written.
    """
    file = out or policy.source.file.with_name(f"{policy.source.file.stem}.{REGISTRATION}")
    keys = _keys(policy)
    if file.exists() and not again:
        raise AuditkitError(
            f"{file} is there already: this policy was registered before",
            "run it as registered; or give --again: the earlier registration is kept, and the new one names it",
        )
    predicate = _predicate(policy, keys, file, reports)
    warnings = _gate_warnings(policy)
    content = signed.seal(predicate, policy.source.file.name, keys)
    token = _token(policy, content)
    kept = _keep(file) if file.exists() else None
    write_bytes(file, content)
    if token is None:
        return Registered(file, predicate, kept=kept, warnings=warnings)
    stamp = check_token(token, hashlib.sha256(content).digest())
    text = "\n".join(wrap(base64.b64encode(token).decode(), 76))
    return Registered(file, predicate, stamp, write_bytes(stamp_beside(file), f"{text}\n".encode()), kept, warnings)


def _gate_warnings(policy: Policy) -> tuple[str, ...]:
    gate = gate_of(policy)
    return (*(f"no run of this policy can pass its gate: {problem}" for problem in gate.problems), *gate.warnings)


def stamp_beside(file: Path) -> Path:
    """Where the time stamp of a registration stands."""
    return file.with_name(f"{file.name.removesuffix(ENVELOPE)}.timestamp")


def registered_gate(policy: Policy) -> list[RegisteredRule]:
    """The gate's rules as a registration states them."""
    return [
        RegisteredRule(
            metric=rule.metric,
            attack=rule.attack,
            dataset=rule.dataset,
            view=rule.view,
            limit=rule.max,
            words=f"{rule.metric} of {rule.attack} on {rule.dataset} ({rule.view} view) at most {rule.max:g}",
        )
        for rule in policy.gate
    ]


def _keys(policy: Policy) -> SigningKeys:
    keys = signing_keys(policy)
    if keys is None:
        raise AuditkitError(
            "the policy says `sign: none`: a registration that nobody signs would prove nothing",
            "make keys with `auditkit keygen`, and name them in report.sign",
        )
    return keys


def _predicate(policy: Policy, keys: SigningKeys, file: Path, reports: Path) -> RegistrationPredicate:
    from auditkit import __version__

    models = [RegisteredModel(role=role, sha256=digest) for role, digest in _models(policy)]
    secret = project_secret(policy)
    datasets = [RegisteredDataset(name=name, merkle_root=root) for name, root in _datasets(policy, secret)]
    ledger = Ledger.of(reports).read()
    candidate = next((model.sha256 for model in models if model.role == "candidate"), None)
    roots = [data.merkle_root for data in datasets if data.merkle_root]
    earlier = sum(run.is_of(candidate, roots) for run in known_runs(reports, ledger)) if candidate and roots else None
    return RegistrationPredicate(
        registered=now(),
        auditkit_version=__version__,
        policy=RegisteredPolicy(name=policy.name, sha256=policy.source.sha256),
        gate=tuple(registered_gate(policy)),
        models=tuple(models),
        datasets=tuple(datasets),
        earlier_runs=earlier,
        ledger_sha256=ledger.head,
        previous_sha256=hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None,
        signer=SignerFacts(**keys.signer_facts),
        approver=waiver_source(policy.waivers).key.keyid if policy.waivers else "",
    )


def _models(policy: Policy) -> Iterable[tuple[str, str | None]]:
    """The digest of every declared model that is on this machine. Nothing is fetched."""
    for role, backend in (("candidate", policy.models.candidate), ("base", policy.models.base)):
        if backend is None:
            continue
        try:
            identity = backend.preflight(role).identity
        except AuditkitError:  # still to be trained, perhaps
            identity = None
        yield role, identity.sha256 if identity else None


def _datasets(policy: Policy, secret: bytes) -> Iterable[tuple[str, str | None]]:
    """The Merkle root of every dataset that is on this machine; one on a hub is pinned by the policy itself."""
    for section in policy.datasets:
        try:
            there = "://" not in section.path
            yield section.name, corpus_root(read_members(section), secret) if there else None
        except AuditkitError:
            yield section.name, None


def _token(policy: Policy, content: bytes) -> bytes | None:
    sign = policy.report.sign
    if not isinstance(sign, Sign) or sign.timestamp is None:
        return None
    return request_token(sign.timestamp, hashlib.sha256(content).digest())


def _keep(file: Path) -> Path:
    """Put an earlier registration and its stamp under a number; until the new one is written it stands at both."""
    number = 1
    while (kept := _numbered(file, number)).exists():
        number += 1
    with storage_errors(kept):
        os.link(file, kept)
        if (stamp := stamp_beside(file)).exists():
            stamp.replace(stamp_beside(kept))
    return kept


def _numbered(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name.removesuffix(ENVELOPE)}.{number}{ENVELOPE}")

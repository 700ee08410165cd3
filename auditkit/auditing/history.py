"""What came before a run: earlier runs of the same model and data, and the registration of its policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from auditkit.auditing.context import Context
from auditkit.auditing.known_runs import KnownRun, known_runs
from auditkit.auditing.ledger import Contents, Ledger
from auditkit.auditing.registered import registered_gate
from auditkit.auditing.waiving import run_source
from auditkit.errors import AuditkitError
from auditkit.policy.schema import Policy
from auditkit.report.history import EarlierRun, EarlierRuns, Registration
from auditkit.report.rule_words import target_words
from auditkit.signing import registration as signed
from auditkit.signing.base import REGISTRATION, REGISTRATION_STAMP
from auditkit.signing.files import read_bounded
from auditkit.signing.registration import RegisteredRule, SignedRegistration
from auditkit.signing.timestamps import SIZE_LIMIT as STAMP_LIMIT
from auditkit.signing.timestamps import TimeStamp

MOST_SHOWN = 100
CLOCK_SKEW = timedelta(minutes=1)  # by which an authority's clock may be ahead of this machine's
NOT_RELIED_ON = "what it says of earlier runs cannot be relied on"


def registration_files(policy: Policy) -> dict[str, bytes]:
    """The registration that stands beside the policy, by its name in the run folder; nothing where there is none.

    Raises:
        AuditkitError: it is there, but damaged, or its signature or time stamp does not hold.
    """
    found = {}
    for name in (REGISTRATION, REGISTRATION_STAMP):
        path = beside(policy.source.file, name)
        if path.exists():
            found[name] = _bounded(path)
    if REGISTRATION not in found:
        return {}
    _opened(found, beside(policy.source.file, REGISTRATION))
    return found


def registration_fact(policy: Policy) -> str:
    """What ``auditkit check`` says of the registration.

    Raises:
        AuditkitError: as for ``registration_files``.
    """
    files = registration_files(policy)
    if not files:
        return "none: only the auditor's word will say that the limits were set before the result (auditkit register)"
    found, stamp = _opened(files, beside(policy.source.file, REGISTRATION))
    by = f"time stamp of {stamp.authority}, {stamp.time.isoformat()}" if stamp else "by its signer's own clock"
    changed = found.predicate.policy.sha256 != policy.source.sha256 or policy.source.overrides
    since = "changed since, which the report will say" if changed else "unchanged since"
    return f"{found.predicate.registered}, {by}; {since}"


def beside(policy_file: Path, name: str) -> Path:
    """Where a policy's registration stands: policy.yaml has policy.registration.dsse.json."""
    return policy_file.with_name(f"{policy_file.stem}.{name}")


def _bounded(path: Path) -> bytes:
    try:
        return read_bounded(path.resolve(), max(signed.SIZE_LIMIT, 2 * STAMP_LIMIT))
    except (OSError, ValueError) as error:
        raise AuditkitError(f"cannot read {path}: {error}", "check its permissions, or remove it") from None


def _opened(files: dict[str, bytes], place: Path) -> tuple[SignedRegistration, TimeStamp | None]:
    again = "register again: auditkit register POLICY --again; or remove it, and the run counts as not registered"
    try:
        found = signed.read(files[REGISTRATION])
    except ValueError as error:
        raise AuditkitError(f"the registration {place} {error}", again) from None
    try:
        stamp = signed.read_stamp(files[REGISTRATION_STAMP], found) if REGISTRATION_STAMP in files else None
    except ValueError as error:
        raise AuditkitError(f"the time stamp of the registration {place} cannot be relied on: {error}", again) from None
    return found, stamp


def history(context: Context) -> tuple[Registration | None, EarlierRuns]:
    """The registration copied into the run folder, and earlier runs of the same model and data.

    A run counts as earlier that began before this one; this one, however often it was resumed, does not count.
    """
    ledger = Ledger.of(context.run.path.parent).read()
    known = known_runs(context.run.path.parent, ledger)
    own = next((run for run in known if run.run == context.run.id), _unlisted(context))
    candidate = next((model.sha256 for model in context.state.models if model.role == "candidate"), "")
    same = [run for run in known if run.is_of(candidate, context.state.merkle_roots.values())]
    earlier = [run for run in same if run.run != own.run and run.began_before(own)]
    elsewhere = [run for run in known if run.is_of_model(candidate) and run not in same and run.began_before(own)]
    files = {name: path.read_bytes() for name in _COPIES if (path := context.run.path / name).exists()}
    found = _opened(files, context.run.path / REGISTRATION) if REGISTRATION in files else None
    head = _begun(context).get("ledger", "")
    unknown = [] if candidate else ["The model has no digest: earlier runs of it cannot be told from others."]
    problems = [
        *unknown,
        *_broken(ledger, head, known),
        *_other_data(elsewhere),
        *(_forgotten(found[0], ledger, earlier) if found else ()),
    ]
    runs = EarlierRuns(
        runs=[_shown(run, context) for run in reversed(earlier)][:MOST_SHOWN],
        total=len(earlier),
        problems=problems,
        ledger_sha256=head,
    )
    return _registration(context, *found, earlier) if found else None, runs


_COPIES = (REGISTRATION, REGISTRATION_STAMP)


def _unlisted(context: Context) -> KnownRun:
    """This run as it is where neither the ledger nor the folder lists it any more."""
    return KnownRun(context.run.id, context.state.started, "unfinished", context.state.policy_sha256, {}, {})


def _begun(context: Context) -> dict[str, Any]:
    """The run's first event."""
    return next(iter(context.log.recorded("started")), {})


def _shown(run: KnownRun, context: Context) -> EarlierRun:
    return EarlierRun(
        run=run.run,
        started=run.started,
        outcome=run.outcome,
        policy_sha256=run.policy_sha256,
        same_policy=run.policy_sha256 == context.state.policy_sha256,
        in_ledger=run.place is not None,
    )


def _broken(ledger: Contents, head: str, known: Sequence[KnownRun]) -> Iterator[str]:
    """Why the ledger cannot be relied on."""
    lines = set(ledger.digests)
    if ledger.problems:
        more = f" (and {len(ledger.problems) - 1} more)" if len(ledger.problems) > 1 else ""
        yield f"The ledger was changed: {ledger.problems[0]}{more}; {NOT_RELIED_ON}."
    if head and head not in lines:
        yield f"The ledger was changed since this run began: the line that it began with is gone; {NOT_RELIED_ON}."
    false = [run.run for run in known if run.contradicted]
    if false:
        yield f"The ledger was changed: it gives {false[0]} another verdict than its attestation does; {NOT_RELIED_ON}."
    lost = sum(run.place is not None and bool(run.ledger_sha256) and run.ledger_sha256 not in lines for run in known)
    if lost:
        yield f"The ledger was written anew: {lost} runs name lines that it does not hold; {NOT_RELIED_ON}."


def _other_data(runs: Sequence[KnownRun]) -> Iterator[str]:
    """A record more, or a new secret, and earlier runs are not of the same data any more: so they are told apart."""
    if runs:
        one = len(runs) == 1
        yield (
            f"{len(runs)} earlier run{'' if one else 's'} of the same model {'is' if one else 'are'} known on data "
            "with other Merkle roots: other records, or the same ones under another secret of the project."
        )


def _forgotten(found: SignedRegistration, ledger: Contents, earlier: Sequence[KnownRun]) -> Iterator[str]:
    """What the registration knew, and the ledger does not know any more."""
    predicate, before = found.predicate, len(_before(found, earlier))
    if predicate.ledger_sha256 and predicate.ledger_sha256 not in ledger.digests:
        yield (
            "The registration names a line of a ledger that this one does not hold: it was changed since, or the "
            f"registration was made with the ledger of another folder; {NOT_RELIED_ON}."
        )
    if predicate.earlier_runs is not None and predicate.earlier_runs > before:
        yield (
            f"The registration counted {predicate.earlier_runs} earlier runs of the same model and data, of which "
            f"{before} are known here."
        )


def _before(found: SignedRegistration, earlier: Sequence[KnownRun]) -> list[KnownRun]:
    return [run for run in earlier if run.started < found.predicate.registered]


def _registration(
    context: Context, found: SignedRegistration, stamp: TimeStamp | None, earlier: Sequence[KnownRun]
) -> Registration:
    from auditkit.auditing.publish import signature_info

    predicate, before = found.predicate, len(_before(found, earlier))
    key = predicate.signer.key_id
    return Registration(
        registered=predicate.registered,
        stamped=stamp.time.isoformat().replace("+00:00", "Z") if stamp else "",
        authority=stamp.authority if stamp else "",
        key_id=key,
        same_key=signature_info(context.policy).key_id == key,
        sha256=found.sha256,
        policy_sha256=predicate.policy.sha256,
        differences=list(_differences(context, found, stamp)),
        unknown=[
            *(f"the {model.role} model" for model in predicate.models if model.sha256 is None),
            *(f"the dataset “{data.name}”" for data in predicate.datasets if data.merkle_root is None),
        ],
        earlier_runs=predicate.earlier_runs,
        runs_before=before,
        later_runs=len(earlier) - before,
        previous_sha256=predicate.previous_sha256,
    )


def _differences(context: Context, found: SignedRegistration, stamp: TimeStamp | None) -> Iterator[str]:
    """What was run and is not what was registered, limits first."""
    yield from _moved_limits(context.policy, found)
    for change in context.state.overrides:
        yield f"Changed from the command line: {change}."
    if found.predicate.policy.sha256 != context.state.policy_sha256:
        yield "The policy, or a preset under it, was changed after it was registered: its SHA-256 is another."
    yield from _other_inputs(context, found)
    if found.predicate.approver != (run_source(context.run).key.keyid if context.policy.waivers else ""):
        yield f"Another approver of waivers was registered: key id {found.predicate.approver or 'none'}."
    if _begun(context).get("registration") != found.sha256:
        yield "The registration was not there when this run began."
    began = signed.parse_moment(context.state.started)
    if max([found.moment, *([stamp.time] if stamp else [])]) > began + CLOCK_SKEW:
        yield "The registration says that it was made after this run began."


def _moved_limits(policy: Policy, found: SignedRegistration) -> Iterator[str]:
    was = {(rule.metric, rule.attack, rule.dataset, rule.view): rule for rule in found.predicate.gate}
    now = {(rule.metric, rule.attack, rule.dataset, rule.view): rule for rule in registered_gate(policy)}
    for key, rule in was.items():
        if key not in now:
            yield f"A registered rule was taken out: {_limit(rule)}."
        elif now[key].limit != rule.limit:
            direction = "loosened" if now[key].limit > rule.limit else "tightened"
            yield f"A limit was {direction}: registered {_limit(rule)}, run with at most {now[key].limit:g}."
    for key in now.keys() - was.keys():
        yield f"A rule was added: {_limit(now[key])}."


def _limit(rule: RegisteredRule) -> str:
    return f"{target_words(rule.metric, rule.attack, rule.dataset, rule.view)} at most {rule.limit:g}"


def _other_inputs(context: Context, found: SignedRegistration) -> Iterator[str]:
    models = {model.role: model.sha256 for model in context.state.models}
    for model in found.predicate.models:
        if model.sha256 is not None and models.get(model.role) != model.sha256:
            yield f"Another {model.role} model was registered: SHA-256 {model.sha256 or 'none'}."
    for data in found.predicate.datasets:
        if data.merkle_root is not None and context.state.merkle_roots.get(data.name) != data.merkle_root:
            yield f"Other data was registered as “{data.name}”, or under another secret: its Merkle root is another."

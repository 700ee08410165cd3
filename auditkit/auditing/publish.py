"""The last stage: formats, signatures, attestation. The attestation is written last, and makes a run finished."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from auditkit.auditing.context import Context
from auditkit.auditing.embedding import refuse_forbidden
from auditkit.auditing.events import EventLog, now
from auditkit.auditing.progress import each, single
from auditkit.auditing.run_folder import RunFolder
from auditkit.auditing.state import RunState
from auditkit.errors import AuditkitError
from auditkit.policy.schema import Policy, Sign
from auditkit.registry import plugin_class
from auditkit.report.base import AuditReport, ReportFormat, SignatureInfo
from auditkit.report.copies import RenderedAgain
from auditkit.report.redaction import redact
from auditkit.signing.attestation import attest
from auditkit.signing.base import (
    PDFS,
    AuditPredicate,
    DatasetFacts,
    ModelFacts,
    PolicyFacts,
    RuleFacts,
    VerdictFacts,
)
from auditkit.signing.pdf_timestamp import host_of

if TYPE_CHECKING:
    from auditkit.signing.keys import SigningKeys


def publish(context: Context, report: AuditReport) -> None:
    """Write every declared format, sign, and close the run."""
    from auditkit.report.json_format import load

    policy, run, log = context.policy, context.run, context.log
    keys = signing_keys(policy)
    for warning in keys.warnings if keys else ():
        context.progress.note(f"warning: {warning}")
    for wanted in each(context.progress, "write reports", "formats", report_formats(policy)):
        with single(context.progress, f"write {wanted.kind}"):
            for path in wanted.write(report, run.path):
                name = path.relative_to(run.path).as_posix()
                log.append("written", file=name, texts=name not in wanted.textless)
        if wanted.kind == "json":  # what follows is made from the file, so that it can be made from it again
            report = load(run.audit_file)
    with single(context.progress, "sign"):
        _sign_pdfs(run, keys, log, timestamp_of(policy))
    run.drop_work()
    run.drop_empty_folders()
    log.append("closed", verdict=report.verdict.outcome)
    attest(run.path, _predicate(report, context.state), keys)


def report_formats(policy: Policy) -> list[ReportFormat]:
    """The declared formats; audit.json always, and first: everything else can be made again from it."""
    kinds = dict.fromkeys(["json", *policy.report.formats])
    return [plugin_class("formats", kind).model_validate({"kind": kind}) for kind in kinds]


def check_formats(policy: Policy) -> None:
    """Refuse before the run what could not be written after it.

    Raises:
        AuditkitError: a format needs an extra that is not installed.
    """
    for wanted in report_formats(policy):
        if lacking := wanted.missing():
            raise AuditkitError(
                f"the format {wanted.kind} cannot be written here",
                f"pip install 'auditkit[{lacking}]', or leave it out",
            )


def check_scoring(policy: Policy) -> None:
    """Refuse before the run what could not be scored after it.

    Raises:
        AuditkitError: the embedder or the index lacks a key, an extra or a file, or texts that must stay would leave.
    """
    refuse_forbidden(policy)
    policy.scoring.embedder.ready()
    policy.scoring.index.ready()


def signing_keys(policy: Policy) -> SigningKeys | None:
    """The keys to sign with, or None where the policy says ``sign: none``.

    Raises:
        SigningError: the policy asks for a signature and there is no usable key.
    """
    from auditkit.signing.keys import load_signing_keys, resolve
    from auditkit.signing.pdf_signature import require_pyhanko

    sign = policy.report.sign
    if not isinstance(sign, Sign):
        return None
    keys = load_signing_keys(resolve(sign.key), policy.source.file.parent / sign.certificate)
    if "pdf" in policy.report.formats:
        require_pyhanko()
    return keys


def signature_info(policy: Policy) -> SignatureInfo:
    """What the pages say of the signature."""
    keys = signing_keys(policy)
    if keys is None:
        return SignatureInfo(signed=False, label=policy.report.label)
    label = policy.report.label or keys.label
    authority = timestamp_of(policy) if "pdf" in policy.report.formats else None
    return SignatureInfo(
        signed=True,
        label=label,
        key_id=keys.key_id,
        certificate_subject=keys.subject,
        timestamp_host=host_of(authority) if authority else "",
    )


def load_report(run: RunFolder) -> AuditReport:
    """The report of a finished run; of a purged one what stayed, without texts.

    Raises:
        AuditkitError: the run is not finished, or nothing of its report stayed.
    """
    from auditkit.report.json_format import load

    if not run.finished:
        hint = f"go on with it: auditkit run --resume {run.path}"
        copied = (
            f"; of a finished run that was copied, bring {run.attestation.name} too" if run.audit_file.exists() else ""
        )
        raise AuditkitError(f"{run.path} is not finished", hint + copied)
    if not run.purged:
        return load(run.audit_file)
    if not run.redacted_audit_file.exists():
        raise AuditkitError(
            f"{run.path} was purged, and was made by an auditkit that kept no {run.redacted_audit_file.name}",
            "what stayed are its redacted reports; `auditkit verify` checks them",
        )
    return load(run.redacted_audit_file)


def render_again(run: RunFolder, out: Path, kinds: tuple[str, ...]) -> list[Path]:
    """Render a finished run's report in the given formats into another folder; the run stays as it was signed.

    What is made says that it is a copy. Of a purged run, and of a report that says that it is redacted, only what is
    redacted can be rendered.
    """
    from auditkit.files import make_folder

    report = _copy(load_report(run), run)
    make_folder(out)
    formats = [plugin_class("formats", kind).model_validate({"kind": kind}) for kind in kinds]
    return [path for wanted in formats for path in wanted.write(report, out)]


def _copy(report: AuditReport, run: RunFolder) -> AuditReport:
    """The report as one that nobody signed; redacted anew where it says that it is, which anybody may write."""
    from auditkit import __version__

    made = RenderedAgain(run=run.id, rendered=now(), auditkit_version=__version__)
    return (redact(report) if report.redacted else report).model_copy(update={"rendered_again": made})


def timestamp_of(policy: Policy) -> str | None:
    """The address of the time stamp authority, where the policy names one."""
    sign = policy.report.sign
    return sign.timestamp if isinstance(sign, Sign) else None


def _sign_pdfs(run: RunFolder, keys: SigningKeys | None, log: EventLog, timestamp: str | None) -> None:
    from auditkit.signing.pdf_signature import sign_pdf

    for name in PDFS:
        if keys and (run.path / name).exists():
            sign_pdf(run.path / name, keys, reason=f"auditkit audit {run.id}", timestamp=timestamp)
            log.append("signed", file=name, key=keys.key_id, **({"timestamp": host_of(timestamp)} if timestamp else {}))


def _predicate(report: AuditReport, state: RunState) -> AuditPredicate:
    return AuditPredicate(
        run_id=report.run.id,
        finished=report.run.finished,
        auditkit_version=report.run.auditkit_version,
        code_sha256=report.provenance["code_sha256"],
        git_commit=report.provenance["git_commit"],
        policy=PolicyFacts(
            name=report.policy.name,
            sha256=state.policy_sha256,
            lock_sha256=hashlib.sha256(state.lock.encode()).hexdigest(),
            overrides=state.overrides,
        ),
        models=tuple(
            ModelFacts(
                role=model.role,
                sha256=model.sha256,
                tokenizer_sha256=model.tokenizer_sha256,
                chat_template_sha256=model.chat_template_sha256,
                manifest_sha256=model.manifest.sha256,
                signed_by=model.signature.signer,
            )
            for model in report.models
        ),
        datasets=tuple(
            DatasetFacts(name=data.name, merkle_root=data.merkle_root, records=data.records, controls=data.controls)
            for data in report.datasets
        ),
        verdict=VerdictFacts(
            outcome=report.verdict.outcome,
            arm=report.verdict.arm,
            rules=tuple(
                RuleFacts(rule=rule.rule, dataset=rule.dataset, outcome=rule.outcome) for rule in report.verdict.rules
            ),
        ),
    )

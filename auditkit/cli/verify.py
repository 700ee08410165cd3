"""``auditkit verify``: is this run what its signer says it is?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditkit.errors import AuditkitError

if TYPE_CHECKING:
    from auditkit.auditing.proving import ProofCheck
    from auditkit.records import ModelIdentity
    from auditkit.signing.base import SealedPredicate
    from auditkit.signing.verify import Required, Verification


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), metavar="PUB", help="The signer's public key, auditkit.pub.")
@click.option("--cert", type=click.Path(path_type=Path), metavar="PEM", help="The certificate of the PDF signatures.")
@click.option("--tsa-cert", type=click.Path(path_type=Path), metavar="PEM", help="The time stamp authority's.")
@click.option("--model", type=click.Path(path_type=Path), help="The model that must be the audited one.")
@click.option("--adapter", type=click.Path(path_type=Path), help="The LoRA adapter that the model must wear.")
@click.option("--policy", type=click.Path(path_type=Path), metavar="FILE", help="The policy that must be the one run.")
@click.option(
    "--require",
    type=click.Choice(["pass", "unwaived-pass"]),
    help="Also fail where the verdict is no pass, or one by waivers.",
)
@click.option("--approver", type=click.Path(path_type=Path), metavar="PUB", help="Who must have signed the waivers.")
@click.option("--proof", type=click.Path(path_type=Path), metavar="FILE", help="A proof made by show --prove.")
@click.option("--partial", is_flag=True, help="Accept a copy of a run without some of its files, redacted ones apart.")
@click.option(
    "--record", type=click.Path(path_type=Path), metavar="FILE", help="The record it must prove: a text file."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify(
    run: Path,
    *,
    key: Path | None,
    cert: Path | None,
    tsa_cert: Path | None,
    model: Path | None,
    adapter: Path | None,
    policy: Path | None,
    require: Required | None,
    approver: Path | None,
    proof: Path | None,
    record: Path | None,
    partial: bool,
    as_json: bool,
) -> None:
    """Check a finished run: every digest, missing and extra files, signatures, event chain, and who signed what.

    Offline. Without --key the answer is at best "intact, signer unknown": anybody can sign with a key of their own.
    A model that was audited with a LoRA adapter (backend: vllm) is one with it: give both, --model and --adapter.
    A pass by waivers is a pass for --require pass, and none for --require unwaived-pass. A copy of a run that holds
    its redacted files and the attestation is checked with --partial, a proof of a record too.

    \b
    Example:
      auditkit verify reports/support-bot-1.2-20261122T101500Z-1a2b3c4d \\
        --key auditkit.pub --cert certificate.pem --model weights/post \\
        --policy policy.yaml --require pass
      auditkit verify reports/support-bot-1.2-20261122T101500Z-1a2b3c4d \\
        --key auditkit.pub --proof record.proof.json --record record.txt
      auditkit verify redacted-copy --key auditkit.pub --partial

    \b
    Exit codes: 0 everything holds; 1 something fails, each thing named;
    2 the command is wrong.
    """
    from auditkit.signing.verify import verify as check

    found = check(
        run,
        key,
        cert,
        model_sha256=_identity(run, model, adapter),
        policy_file=policy,
        require=require,
        approver=approver,
        tsa_certificate=tsa_cert,
        partial=partial,
    )
    proven = _proven(run, proof, record)
    if as_json:
        click.echo(json.dumps(_as_data(found) | _proof_as_data(proven), indent=2, ensure_ascii=True))
    else:
        click.echo("\n".join([*_as_text(run, found), *_proof_as_text(proven)]))
    sys.exit(0 if found.ok and (proven is None or proven.ok) else 1)


def _proven(run: Path, proof: Path | None, record: Path | None) -> ProofCheck | None:
    from auditkit.auditing.proving import check_proof

    if proof is None and record is not None:
        raise AuditkitError("--record needs the proof of that record", "add --proof FILE")
    return check_proof(run, proof, record) if proof is not None else None


def _proof_as_data(proven: ProofCheck | None) -> dict[str, Any]:
    if proven is None:
        return {}
    facts = proven.proof.model_dump(mode="json", include={"run", "dataset", "index", "size"}) if proven.proof else None
    digest = {"sha256": proven.proof.record.sha256} if proven.proof else {}
    return {"proof": {"ok": proven.ok, "problems": proven.problems, **(facts or {}), **digest}}


def _proof_as_text(proven: ProofCheck | None) -> Iterator[str]:
    if proven is not None:
        yield f"proof     {proven.sentence}"
        yield from (f"  - {problem}" for problem in proven.problems)


def _identity(run: Path, model: Path | None, adapter: Path | None) -> ModelIdentity | None:
    """The digests of the model given, made in the way of the backend that the audit ran."""
    if model is None:
        if adapter is not None:
            raise AuditkitError("--adapter needs the model that wears it", "add --model PATH")
        return None
    if not model.exists():
        raise AuditkitError(f"{model}: there is no such model", "give the file or folder of the model that is to ship")
    backend = _audited_backend(run)
    if backend == "transformers" and adapter is None:
        from auditkit.models.weights import identity

        return identity(model, "candidate", backend)
    return _identity_by_plugin(backend, model, adapter)


def _identity_by_plugin(backend: str, model: Path, adapter: Path | None) -> ModelIdentity | None:
    from pydantic import ValidationError

    from auditkit.registry import plugin_class

    section = plugin_class("models", backend)
    given = {"path": str(model.resolve())} | ({"adapter": str(adapter.resolve())} if adapter else {})
    if adapter and "adapter" not in section.model_fields:
        raise AuditkitError(f"the model was audited with {backend}, which wears no adapter", "leave --adapter out")
    try:
        known = section.model_validate({"backend": backend, **given})
    except ValidationError:
        raise AuditkitError(f"a model of the backend {backend} is not known by a path", "leave --model out") from None
    found: ModelIdentity | None = known.preflight("candidate").identity
    return found


def _audited_backend(run: Path) -> str:
    """What audit.json says; should it lie, then the digests made by it do not fit the attested ones."""
    from auditkit.signing.base import AUDIT, AUDIT_REDACTED
    from auditkit.signing.checks import AUDIT_LIMIT
    from auditkit.signing.files import read_bounded
    from auditkit.strict_json import parse

    told = run / AUDIT if (run / AUDIT).exists() else run / AUDIT_REDACTED  # all that a purge left
    try:
        models = parse(read_bounded(told, AUDIT_LIMIT))["models"]
        return str(next(model["backend"] for model in models if model["role"] == "candidate"))
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        return "transformers"  # the run will not verify, but let it be said what of the model


def _as_data(found: Verification) -> dict[str, Any]:
    return {
        "ok": found.ok,
        "intact": found.intact,
        "unmet": [one.problem for one in found.unmet],
        "problems": found.problems,
        "signer": found.signer,
        "verdict": found.verdict,
        "notes": found.notes,
        "purged": found.purged,
        "absent": found.absent,
        "statement": found.statement.model_dump(mode="json") if found.statement else None,
    }


def _as_text(run: Path, found: Verification) -> Iterator[str]:
    from auditkit.signing.files import visible

    yield f"{visible(str(run))}: {_headline(found)}"
    yield from (f"  - {problem}" for problem in found.problems)
    if found.statement:
        yield from (visible(line) for line in _facts(found.statement, found.intact))
    yield from (f"note: {note}" for note in found.notes)


def _headline(found: Verification) -> str:
    """Whether the run is intact; then, apart from it, what was asked of it and is not so."""
    if found.ok or not found.intact:
        return found.integrity
    return f"{found.integrity}, but {', and '.join(dict.fromkeys(one.words for one in found.unmet))}"


def _facts(statement: SealedPredicate, ok: bool) -> Iterator[str]:
    from auditkit.signing.waiver_checks import verdict_words

    doubt = "" if ok else " (claimed; do not rely on it)"
    yield f"verdict   {verdict_words(statement)}, arm {statement.verdict.arm}{doubt}"
    yield f"run       {statement.run_id}, finished {statement.finished}, auditkit {statement.auditkit_version}"
    yield f"policy    {statement.policy.name}, SHA-256 {statement.policy.sha256}"
    for model in statement.models:
        yield f"model     {model.role}, SHA-256 {model.sha256}"
    for dataset in statement.datasets:
        size = f"{dataset.records} records, {dataset.controls} controls"
        yield f"dataset   {dataset.name}, {size}, Merkle root {dataset.merkle_root}"

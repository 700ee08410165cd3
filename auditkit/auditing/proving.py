"""``show --prove`` and ``verify --proof``: one record is shown to have been audited, and no other is told of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from auditkit import strict_json
from auditkit.auditing.declared_records import find_record
from auditkit.auditing.run_folder import RunFolder
from auditkit.auditing.secret import known_secret
from auditkit.auditing.state import RunState
from auditkit.corpus.record_proof import RecordProof, prove
from auditkit.corpus.text import flaw, normalise
from auditkit.errors import AuditkitError
from auditkit.files import write_bytes
from auditkit.policy.load import load_policy
from auditkit.policy.schema import Policy
from auditkit.signing import attestation
from auditkit.signing.base import SealedPredicate
from auditkit.signing.files import read_bounded, visible

STATE_FILE = "evidence/run_state.json"
SIZE_LIMIT = 256 << 20  # a record is 16 MiB of text at most; JSON may take six times that


@dataclass(frozen=True)
class ProofCheck:
    """What a proof comes to: a sentence for each thing that fails, and what it shows where none does.

    ``text`` names the file whose text it was held against, "" for none.
    """

    problems: tuple[str, ...]
    proof: RecordProof | None = None
    text: str = ""

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.problems

    @property
    def sentence(self) -> str:
        """Which record of what was audited."""
        if self.proof is None or not self.ok:
            return "the proof does not hold"
        proof = self.proof
        place = f"record {proof.index + 1:,} of {proof.size:,} of the dataset {visible(proof.dataset)}"
        held = f"; it is the text in {visible(self.text)}" if self.text else ""
        return (
            f"the proof holds: {place} in run {visible(proof.run)}, SHA-256 of the record {proof.record.sha256}{held}"
        )


def write_proof(run: RunFolder, item: str, out: Path | None, policy_file: Path | None) -> tuple[Path, RecordProof]:
    """Write the proof of one record (0600): where, and what it says.

    Args:
        run: A finished run.
        item: The record: its id (rec-...), or FILE:LINE as the reports give it.
        out: Where to; by default into the working folder, named by run and record.
        policy_file: The policy, where the evidence that holds it was purged.

    Raises:
        AuditkitError: not finished, no such record, or data or secret are no longer those of the run.
    """
    attested = _attested(run)
    policy = _policy(run, policy_file)
    secret = known_secret(policy)
    corpus, index = find_record(policy, secret, item)
    proof = _unchanged(prove(corpus, index, secret, attested.run_id), attested)
    path = out or Path(f"{attested.run_id}-{corpus.dataset}-{index + 1}.proof.json")
    return write_bytes(path, strict_json.canonical(proof.model_dump(mode="json"))), proof


def check_proof(run: Path, proof_file: Path, text_file: Path | None = None) -> ProofCheck:
    """Hold a proof against the root that the run attests; neither the data nor the secret is needed.

    ``text_file``: the text that the record must have: its turns one below the other, or a JSON object with its
    prompt, response and rejected reply.

    Raises:
        AuditkitError: a file cannot be read.
    """
    content = _content(proof_file, "proof")
    try:
        attested = attestation.read(run.resolve()).statement.predicate
        raw = strict_json.parse_canonical(content)
        proof = RecordProof.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, found["loc"])) or "proof"
        return ProofCheck((f"the proof is malformed ({visible(place)}: {visible(found['msg'])})",))
    except ValueError as error:
        return ProofCheck((f"the proof or the attestation cannot be used ({visible(str(error))})",))
    if strict_json.canonical(proof.model_dump(mode="json")) != content:
        return ProofCheck(("the proof is malformed (values of the wrong type, or left out)",))
    problems = [*_disagreements(proof, attested), *(_other_text(proof, text_file) if text_file else ())]
    return ProofCheck(tuple(problems), proof, str(text_file or ""))


def _disagreements(proof: RecordProof, attested: SealedPredicate) -> Iterator[str]:
    dataset = next((facts for facts in attested.datasets if facts.name == proof.dataset), None)
    if proof.run != attested.run_id:
        yield f"the proof is of another run: {visible(proof.run)}"
    if dataset is None:
        yield f"the run audited no dataset called {visible(proof.dataset)}"
        return
    if proof.size != dataset.records:
        yield f"the proof is of a tree of {proof.size:,} records, and {dataset.records:,} were audited"
    if proof.root != dataset.merkle_root:
        yield "the proof's root is not the attested one"
    if not proof.leads_to(dataset.merkle_root):
        yield "the record, its nonce and the path do not lead to the attested root"


def _other_text(proof: RecordProof, text_file: Path) -> Iterator[str]:
    """Plain text or JSON, normalised as records are."""
    try:
        text = _content(text_file, "text").decode("utf-8")
    except UnicodeDecodeError:
        yield f"{visible(str(text_file))} is not UTF-8, so that it is no record"
        return
    if reason := flaw(text):
        yield f"{visible(str(text_file))} is no record: it holds a {reason}"
        return
    record = proof.record
    if not (
        _fields(text) == record.model_dump() or normalise(text) == normalise(f"{record.prompt}\n{record.response}")
    ):
        yield f"the record proven is not the text in {visible(str(text_file))}"


def _fields(text: str) -> dict[str, str]:
    """The fields of a JSON object that names any; nothing for plain text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        return {}
    return {"prompt": "", "response": "", "rejected": "", **{key: normalise(item) for key, item in value.items()}}


def _attested(run: RunFolder) -> SealedPredicate:
    try:
        return attestation.read(run.path).statement.predicate
    except ValueError as error:
        raise AuditkitError(
            f"the attestation of {run.path} {error}", "only a finished run commits to its records"
        ) from None


def _policy(run: RunFolder, policy_file: Path | None) -> Policy:
    if policy_file is not None:
        return load_policy(policy_file)
    try:
        return RunState.model_validate_json((run.path / STATE_FILE).read_bytes()).restore_policy()
    except (OSError, ValueError):
        lacking = (
            "the run was purged" if run.purged else f"{run.path / STATE_FILE} is not there: was the evidence purged?"
        )
        hint = "a proof is then made from the data itself: name the policy that declares it, --policy FILE"
        raise AuditkitError(lacking, hint) from None


def _unchanged(proof: RecordProof, attested: SealedPredicate) -> RecordProof:
    roots = {facts.name: facts.merkle_root for facts in attested.datasets}
    if roots.get(proof.dataset) != proof.root:
        raise AuditkitError(
            f"the records of {proof.dataset} or the project's secret are not those of the run: the root is another",
            "put back the data and the secret that were audited; a proof of anything else would prove nothing",
        )
    return proof


def _content(path: Path, what: str) -> bytes:
    try:
        return read_bounded(path.resolve(), SIZE_LIMIT)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AuditkitError(f"cannot read the {what} {path}: {reason}", "check the path") from None

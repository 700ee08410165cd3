"""The waivers of a run: read once when it begins, kept in its folder, weighed when its figures are there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auditkit.auditing.context import Context
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.run_folder import RunFolder
from auditkit.auditing.score import Scores
from auditkit.corpus.identity import keyed_id
from auditkit.errors import SigningError
from auditkit.policy.schema import Policy, WaiversSection
from auditkit.policy.waivers import Leaked, in_words, waiver_of_record, with_waivers
from auditkit.records import View
from auditkit.report.base import DeclaredWaiver, Finding, Verdict, WaiverFile, WaiverState
from auditkit.scoring.strings.pairs import reaches
from auditkit.signing.files import read_bounded
from auditkit.signing.waiver_file import APPROVER, SIZE_LIMIT, WAIVERS, SignedWaivers, read

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

KEY_LIMIT = 64 << 10


@dataclass(frozen=True)
class WaiverSource:
    """What the policy points to: the approver's key, and the signed file where there is one yet."""

    key: SSlibKey
    key_pem: bytes
    content: bytes | None
    found: SignedWaivers | None

    @property
    def sha256(self) -> str:
        """Of the file's bytes, "" where there is none."""
        return hashlib.sha256(self.content).hexdigest() if self.content is not None else ""


@dataclass(frozen=True)
class Weighed:
    """The verdict after waivers, all that were declared, and where they came from."""

    verdict: Verdict
    declared: list[DeclaredWaiver]
    file: WaiverFile | None


def waiver_source(section: WaiversSection) -> WaiverSource:
    """What the policy's ``waivers`` names. No file yet: nothing is waived.

    Raises:
        SigningError: the approver's key is missing or none; the file is there, and is no waiver file.
    """
    return _source(Path(section.key), Path(section.file))


def run_files(policy: Policy) -> dict[str, bytes]:
    """Name and content of what a run keeps of its waivers.

    Raises:
        SigningError: as for ``waiver_source``.
    """
    if policy.waivers is None:
        return {}
    source = waiver_source(policy.waivers)
    return {APPROVER: source.key_pem} | ({WAIVERS: source.content} if source.content is not None else {})


def locked(files: dict[str, bytes]) -> dict[str, str]:
    """What the locked policy says of the waivers: digests of the file and of the key."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def weigh(context: Context, verdict: Verdict, leaked: Leaked, finished: str, auditor_key: str) -> Weighed:
    """The verdict as the waivers in the run folder leave it.

    ``finished``: the run's end; a waiver must be in force then. ``auditor_key``: id of the key that signs the run.
    """
    if context.policy.waivers is None:
        return Weighed(verdict, [], None)
    source = _source(context.run.path / APPROVER, context.run.path / WAIVERS)
    models = [model.sha256 for model in context.state.models if model.role == "candidate"]
    declared = list(declare(source, context.policy.name, finished[:10], models[0]))
    changed, told = with_waivers(verdict, declared, leaked)
    told = _of_no_record(context, told)
    notes = list(_notes(source, auditor_key))
    return Weighed(
        changed, told, WaiverFile(file=WAIVERS, sha256=source.sha256, approver=source.key.keyid, notes=notes)
    )


def _of_no_record(context: Context, declared: list[DeclaredWaiver]) -> list[DeclaredWaiver]:
    """Says of waivers of records that nobody has that they are of none."""
    waived = {one.waiver.record for one in declared if one.waiver.record and one.state == "in force"}
    if not waived:
        return declared
    audited = {
        _keyed(context, data, record) for data in context.datasets for record in range(len(data.members.records))
    }
    note = "No record that was audited has this id, so that it waives nothing."
    return [one.model_copy(update={"note": note}) if one.waiver.record in waived - audited else one for one in declared]


def declare(source: WaiverSource, policy: str, day: str, model_sha256: str) -> Iterable[DeclaredWaiver]:
    """Every waiver of the file, and what it is worth on this day for this model and policy."""
    if source.found is None:
        return
    sheet = source.found.sheet
    for number, waiver in enumerate(sheet.waivers, 1):
        state: WaiverState = waiver.state(day, model_sha256)
        if sheet.policy != policy:
            state = "other policy"
        if not source.found.by_approver:
            state = "bad signature" if source.found.signed else "unsigned"
        yield DeclaredWaiver(number=number, waiver=waiver, state=state)


def leaked_clusters(context: Context, scores: Scores) -> Leaked:
    """Every leaked cluster by dataset, attack and view, as the keyed ids of all records in it.

    Leaked is what any of the gate's figures would count: by embedding or by edit distance, by a cut generation too.
    """
    if context.policy.waivers is None:
        return {}
    return {
        (data.name, attack.label, view): _clusters(context, data, _leaked_records(context, scores, key))
        for data in context.datasets
        for view in data.views
        for attack in context.policy.prefix_attacks
        if (key := (attack.label, data.name, view)) in scores.coverage
    }


def marked(context: Context, findings: list[Finding], declared: list[DeclaredWaiver]) -> list[Finding]:
    """The findings, with who waived which."""
    if not any(one.waiver.record for one in declared):
        return findings
    datasets = {data.name: data for data in context.datasets}
    return [_marked(context, datasets[finding.dataset], finding, declared) for finding in findings]


def _marked(context: Context, data: PreparedDataset, finding: Finding, declared: list[DeclaredWaiver]) -> Finding:
    (cluster,) = _clusters(context, data, np.array([finding.record_index]))
    found = waiver_of_record(cluster, declared)
    return finding.model_copy(update={"waived": in_words(found)}) if found else finding


def _leaked_records(context: Context, scores: Scores, key: tuple[str, str, View]) -> np.ndarray:
    """Positions of the members that this attack's generations give away in this view, ascending."""
    _, dataset, view = key
    threshold = scores.calibrations[dataset, view].threshold
    matches, members = scores.matches[key], scores.coverage[key].members
    by_string = matches.levenshtein_record[reaches(matches.levenshtein, context.policy.scoring.string_threshold)]
    if threshold is None:
        return np.unique(by_string)
    by_record = np.flatnonzero(members.record_hit | (members.best_score >= threshold))
    return np.unique(np.concatenate([by_record, matches.record[matches.score >= threshold], by_string]))


def _clusters(context: Context, data: PreparedDataset, records: np.ndarray) -> list[frozenset[str]]:
    """Each cluster that one of these records is in, once."""
    labels = np.unique(data.clusters[records])
    inside = (np.flatnonzero(data.clusters == label) for label in labels)
    return [frozenset(_keyed(context, data, int(record)) for record in cluster) for cluster in inside]


def _keyed(context: Context, data: PreparedDataset, record: int) -> str:
    return keyed_id(context.secret, "rec", f"{data.name}/{data.members.records[record].id}")


def _source(key: Path, file: Path) -> WaiverSource:
    from auditkit.signing.keys import load_public_key

    approver = load_public_key(key)
    try:
        content: bytes | None = read_bounded(file.resolve(), SIZE_LIMIT)
    except FileNotFoundError:
        content = None
    except (OSError, ValueError) as error:
        raise SigningError(f"cannot read the waiver file {file}: {error}", "check the path and its size") from None
    try:
        found = read(content, approver) if content is not None else None
    except ValueError as error:
        hint = "make it anew: move it away, then auditkit waive POLICY ..."
        raise SigningError(f"the waiver file {file} {error}", hint) from None
    return WaiverSource(approver, read_bounded(key.resolve(), KEY_LIMIT), content, found)


def _notes(source: WaiverSource, auditor_key: str) -> Iterable[str]:
    """What the reader must know of the file itself."""
    if source.found is None:
        yield "The policy names a waiver file, and there was none when the run began: nothing is waived."
    elif not source.found.signed:
        yield "The waiver file is UNSIGNED: its waivers count for nothing."
    elif not source.found.by_approver:
        yield "The waiver file is not signed by the approver whom the policy names: its waivers count for nothing."
    if source.key.keyid == auditor_key:
        yield "The approver's key is the auditor's own: nobody else agreed to these waivers."


def run_source(run: RunFolder) -> WaiverSource:
    """The waivers as a run keeps them.

    Raises:
        SigningError: as for ``waiver_source``.
    """
    return _source(run.path / APPROVER, run.path / WAIVERS)

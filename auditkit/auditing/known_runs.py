"""Which runs a folder knows of: those in its ledger, and those that stand in it without being there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from auditkit.auditing.ledger import BEGIN, END, Contents, Entry
from auditkit.auditing.state import STATE_FILE, RunState
from auditkit.report.base import Outcome
from auditkit.report.history import RunOutcome
from auditkit.signing import attestation
from auditkit.signing.base import EVENTS, POLICY_LOCK
from auditkit.signing.event_chain import LINE_LIMIT
from auditkit.signing.files import read_bounded

STATE_LIMIT = 64 << 20


@dataclass(frozen=True)
class KnownRun:
    """A run as far as the folder tells. ``models``: role -> digest; ``datasets``: name -> Merkle root.

    ``ledger_sha256``: the ledger's line that the run says it began with, "" where it says nothing. ``contradicted``:
    the ledger gives it another verdict than its attestation does, which is the one given here.
    """

    run: str
    started: str
    outcome: RunOutcome
    policy_sha256: str
    models: Mapping[str, str]
    datasets: Mapping[str, str]
    place: int | None = None  # in the ledger, None where it is not there
    ledger_sha256: str = ""
    contradicted: bool = False

    def began_before(self, other: KnownRun) -> bool:
        """By their places in the ledger where both have one: no clock can be put back there; else by their times."""
        if self.place is not None and other.place is not None:
            return self.place < other.place
        return (self.started, self.run) < (other.started, other.run)

    def is_of(self, candidate: str, roots: Iterable[str]) -> bool:
        """Whether it audited this model against one of these datasets at least."""
        return self.is_of_model(candidate) and bool({*self.datasets.values()} & {*roots})

    def is_of_model(self, candidate: str) -> bool:
        """Whether it audited this model; one without a digest cannot be told from others."""
        return bool(candidate) and self.models.get("candidate") == candidate


def known_runs(reports: Path, ledger: Contents) -> list[KnownRun]:
    """Every run of a folder but those that cannot be read any more, in the order of their beginnings."""
    told = {run.run: _looked_up(run, reports / run.run) for run in _from_ledger(ledger.entries)}
    beside = (
        run for folder in _folders(reports) if folder.name not in told and (run := _from_folder(folder)) is not None
    )
    return sorted([*told.values(), *beside], key=lambda run: (run.started, run.run))


def _from_ledger(entries: Iterable[Entry]) -> list[KnownRun]:
    found: dict[str, KnownRun] = {}
    for entry in entries:
        if entry.event == BEGIN and entry.run not in found:
            facts = (entry.policy_sha256, entry.models, entry.datasets)
            found[entry.run] = KnownRun(entry.run, entry.time, "unfinished", *facts, place=len(found))
        elif entry.run in found:
            found[entry.run] = replace(found[entry.run], outcome=_outcome(entry))
    return list(found.values())


def _outcome(entry: Entry) -> RunOutcome:
    """How a run stands after this line: one that was begun, or gone on with, is unfinished."""
    outcomes: tuple[RunOutcome, ...] = get_args(RunOutcome)
    return next((word for word in outcomes if entry.event == END and entry.outcome == word), "unfinished")


def _looked_up(run: KnownRun, folder: Path) -> KnownRun:
    """A run of the ledger beside what its folder says, if that is there.

    One that was killed between its attestation and its last line in the ledger is finished all the same.
    """
    if folder.name != run.run:  # a path, which no run is called
        return run
    attested = attested_outcome(folder)
    contradicted = attested is not None and run.outcome in get_args(Outcome) and run.outcome != attested
    head = _first_event(folder).get("ledger", "")
    return replace(run, outcome=attested or run.outcome, contradicted=contradicted, ledger_sha256=head)


def attested_outcome(folder: Path) -> RunOutcome | None:
    """The verdict in a finished run's attestation, whoever signed it; None where that cannot be read."""
    try:
        return attestation.read(folder).statement.predicate.verdict.outcome
    except (OSError, ValueError):  # nor can what stands in a ledger be the name of a folder, always
        return None


def _folders(reports: Path) -> Iterator[Path]:
    if not reports.is_dir():
        return
    for path in sorted(reports.iterdir()):
        if not path.is_symlink() and not path.name.startswith(".") and (path / POLICY_LOCK).is_file():
            yield path


def _from_folder(folder: Path) -> KnownRun | None:
    """A finished run by its attestation, another by what it keeps to be resumed; None where neither can be read."""
    event = _first_event(folder)
    head = event.get("ledger", "")
    try:
        facts = attestation.read(folder).statement.predicate
    except ValueError:
        return _unfinished(folder, head)
    return KnownRun(
        folder.name,
        event.get("time", facts.finished),
        facts.verdict.outcome,
        facts.policy.sha256,
        {model.role: model.sha256 for model in facts.models},
        {data.name: data.merkle_root for data in facts.datasets},
        ledger_sha256=head,
    )


def _unfinished(folder: Path, head: str) -> KnownRun | None:
    try:
        state = RunState.model_validate_json(read_bounded(folder / STATE_FILE, STATE_LIMIT))
    except (OSError, ValueError):
        return None
    models = {model.role: model.sha256 for model in state.models}
    return KnownRun(
        folder.name,
        state.started,
        "unfinished",
        state.policy_sha256,
        models,
        state.merkle_roots,
        ledger_sha256=head,
    )


def _first_event(folder: Path) -> dict[str, str]:
    """The texts in the first line of a run's event log; empty where there is none."""
    path = folder / EVENTS
    try:
        if path.is_symlink() or not path.is_file():
            return {}
        with path.open("rb") as stream:
            event = json.loads(stream.readline(LINE_LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: value for key, value in event.items() if isinstance(value, str)} if isinstance(event, dict) else {}

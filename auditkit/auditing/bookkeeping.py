"""A run's lines in the ledger and the beginning of its event log: how it began, and how it ended, whatever ended it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from auditkit.auditing.context import Context
from auditkit.auditing.ledger import BEGIN, END, RESUMED, Ledger
from auditkit.auditing.run_folder import RunFolder
from auditkit.errors import RunError
from auditkit.report.base import AuditReport
from auditkit.signing.base import REGISTRATION
from auditkit.signing.files import sha256_of


@contextmanager
def entered(context: Context) -> Iterator[None]:
    """Enter a run that begins or goes on; should it break, enter that too.

    The first line of the event log names the ledger's last line, and the registration: so the attestation vouches for
    the ledger up to there, and nobody can register a run that is under way.

    Raises:
        RunError: the ledger cannot be written.
    """
    run, state = context.run, context.state
    ledger = Ledger.of(run.path.parent)
    known = any(entry.event == BEGIN and entry.run == run.id for entry in ledger.read().entries)
    head = ledger.append(
        RESUMED if known else BEGIN,
        run=run.id,
        models={model.role: model.sha256 for model in state.models},
        datasets=state.merkle_roots,
        policy_sha256=state.policy_sha256,
    )
    facts = {"run": run.id, "ledger": head}
    if (registration := run.path / REGISTRATION).is_file():
        facts["registration"] = sha256_of(registration)
    context.log.append("resumed" if context.log.count("started") else "started", **facts)
    try:
        yield
    except BaseException as error:
        with suppress(RunError):  # what stopped the run is what the user has to hear of
            stopped = isinstance(error, KeyboardInterrupt)
            ledger.append(END, run=run.id, outcome="interrupted" if stopped else "failed")
        raise


def closed(run: RunFolder, report: AuditReport) -> None:
    """Enter the verdict of a run that was attested.

    Raises:
        RunError: the ledger cannot be written.
    """
    Ledger.of(run.path.parent).append(END, run=run.id, outcome=report.verdict.outcome)


def settled(run: RunFolder, report: AuditReport) -> AuditReport:
    """The report of a finished run, its verdict entered where the process was killed before it could do so."""
    lines = [entry for entry in Ledger.of(run.path.parent).read().entries if entry.run == run.id]
    if lines and lines[-1].event != END:
        closed(run, report)
    return report

"""What every stage of a run works with."""

from __future__ import annotations

from dataclasses import dataclass

from auditkit.audit.events import EventLog
from auditkit.audit.prepare import PreparedDataset
from auditkit.audit.progress import Progress
from auditkit.audit.run_folder import RunFolder
from auditkit.audit.state import RunState
from auditkit.policy.schema import Policy


@dataclass(frozen=True)
class Context:
    """One run under way: what was asked, what is declared, where it is written, who is told."""

    policy: Policy
    state: RunState
    datasets: list[PreparedDataset]
    secret: bytes
    run: RunFolder
    log: EventLog
    progress: Progress

"""What every stage of a run works with."""

from __future__ import annotations

from dataclasses import dataclass

from auditkit.auditing.events import EventLog
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.progress import Progress
from auditkit.auditing.run_folder import RunFolder
from auditkit.auditing.state import RunState
from auditkit.engines.base import Cluster, Stage
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
    cluster: Cluster | None = None

    @property
    def arm(self) -> str:
        """The arm that this is the run of."""
        return self.run.arm or "baseline"

    def workers(self, stage: Stage) -> Cluster | None:
        """The cluster that does the work of this stage; None where this process does it."""
        return self.cluster if self.cluster and self.cluster.takes(stage) else None

"""The report's account of what came before the result: the policy's registration, and earlier runs."""

from __future__ import annotations

from typing import Literal

from auditkit.report.part import Part

RunOutcome = Literal["pass", "fail", "inconclusive", "failed", "interrupted", "unfinished"]


class Registration(Part):
    """The policy's registration as found beside it when the run began.

    ``registered`` is by the signer's own clock, ``stamped`` by that of a time-stamping ``authority`` ("" where there is
    none). ``differences`` are sentences: what was run is not what was registered. ``unknown``: what was not there yet
    to be registered. ``earlier_runs``: as counted at registration, None where model or data were not there yet.
    ``later_runs``: runs of the same model and data between registration and this run.
    """

    registered: str
    stamped: str = ""
    authority: str = ""
    key_id: str
    same_key: bool  # that signs this run
    sha256: str
    policy_sha256: str
    differences: list[str] = []
    unknown: list[str] = []
    earlier_runs: int | None = None
    runs_before: int = 0  # started before the registration, as known to this run
    later_runs: int = 0
    previous_sha256: str | None = None

    @property
    def unchanged(self) -> bool:
        """Whether what was run is what was registered."""
        return not self.differences

    @property
    def moment(self) -> str:
        """When: by the authority's clock where there is one."""
        return self.stamped or self.registered


class EarlierRun(Part):
    """A run of the same model, on one of the same datasets at least, that began before this one."""

    run: str
    started: str
    outcome: RunOutcome
    policy_sha256: str = ""
    same_policy: bool = False
    in_ledger: bool = True


class EarlierRuns(Part):
    """What the ledger, and the folder that it stands in, tell of earlier runs.

    ``runs``: the latest first, at most 100 of ``total``. ``problems`` are sentences: why that cannot be relied on.
    ``ledger_sha256``: digest of the ledger's line with which this run began.
    """

    runs: list[EarlierRun] = []
    total: int = 0
    problems: list[str] = []
    ledger_sha256: str = ""

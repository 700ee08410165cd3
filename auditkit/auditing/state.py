"""What a run needs to be resumed from its folder alone, fixed when it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.provenance import code_sha256
from auditkit.errors import AuditkitError
from auditkit.policy.schema import Policy, PolicySource
from auditkit.records import ModelIdentity

STATE_FILE = "evidence/run_state.json"


class RunState(BaseModel):
    """evidence/run_state.json: the resolved policy and the digests of everything that it names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    started: str
    policy: dict[str, Any]
    policy_file: str
    policy_sha256: str
    preset: str | None
    overrides: tuple[str, ...]
    weaker_than_preset: list[str]
    lock: str
    models: list[ModelIdentity]
    merkle_roots: dict[str, str]
    code_sha256: str
    data_digests: dict[str, dict[str, str]]
    policy_lines: dict[str, int] = {}
    blind: str = ""  # random: the attested digest of a file that holds it confirms no guess at the rest

    def restore_policy(self) -> Policy:
        """The policy exactly as it was when the run began."""
        policy = Policy.model_validate(self.policy)
        file, lines = Path(self.policy_file), self.policy_lines
        policy._source = PolicySource(file, self.policy_sha256, lines, self.preset, self.overrides)
        return policy

    def check_unchanged(self, models: list[ModelIdentity], datasets: list[PreparedDataset]) -> None:
        """A run is of one model and one set of data from beginning to end.

        Raises:
            AuditkitError: the model or a dataset changed since the run began.
        """
        changed = [now.role for before, now in zip(self.models, models, strict=True) if before.sha256 != now.sha256]
        changed += [data.name for data in datasets if self.data_digests[data.name] != data_digests(data)]
        if self.code_sha256 != code_sha256():
            changed.append("auditkit itself")
        if not changed and self.merkle_roots != {data.name: data.merkle_root for data in datasets}:
            changed = ["the project's secret (report.secret, or .auditkit-secret beside the policy)"]
        if changed:
            raise AuditkitError(
                f"changed since the run began: {', '.join(changed)}",
                "put back what was there, or start a new run: auditkit run POLICY",
            )


def data_digests(dataset: PreparedDataset) -> dict[str, str]:
    """SHA-256 of each file of a dataset and its controls."""
    return {**dataset.members.file_digests, **dataset.controls.file_digests}

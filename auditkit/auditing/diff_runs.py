"""The two runs of a comparison, as read from their folders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from auditkit.auditing import run_folder
from auditkit.auditing.diff_waivers import waived_rules
from auditkit.auditing.run_folder import RunFolder
from auditkit.errors import AuditkitError, PolicyError
from auditkit.policy.yaml_source import MAX_BYTES, read_document
from auditkit.records import Estimate, View
from auditkit.report.arm_figures import shown_arm
from auditkit.report.base import Arm, AuditReport, Calibration, RuleResult
from auditkit.report.diff import ComparedRun
from auditkit.report.wording import candidate
from auditkit.signing.files import read_bounded
from auditkit.signing.verify import Verification, verify

Key = tuple[str, str, str, View]  # metric, dataset, attack, view


class UnpairedError(Exception):
    """Why a figure cannot be paired, in words."""


@dataclass(frozen=True)
class DiffRun:
    """One finished run: its report, its folder, and whether it is as it was attested."""

    folder: RunFolder
    report: AuditReport
    integrity: str
    notes: tuple[str, ...] = ()
    arm_name: str = ""  # of another arm than the one that ships

    @cached_property
    def arm(self) -> Arm:
        """Whose figures are compared: those of the arm that ships, or the baseline's where the report shows these."""
        arm = next((arm for arm in self.report.arms if arm.name == self.arm_name), None)
        arm = arm or shown_arm(self.report.arms, self.report.verdict.arm)
        if arm is None:
            raise AuditkitError(f"{self.folder.path} has no arm", "the run holds no figures to compare")
        return arm

    @cached_property
    def files(self) -> RunFolder:
        """The evidence of that arm."""
        return self.folder.of_arm(self.arm.name) if self.arm.mitigation else self.folder

    def evidence(self, path: Path) -> Path:
        """A file of the evidence, once it is known to be one: names in a report may be anybody's.

        Raises:
            UnpairedError: it is not there, or not in the run folder.
        """
        if not self.folder.evidence.is_dir():
            raise UnpairedError("the evidence was purged")
        inside = path.is_relative_to(self.folder.evidence) and path.resolve() == path
        if not inside or not path.is_file():
            raise UnpairedError("the evidence is not in the run folder")
        return path

    @cached_property
    def estimates(self) -> dict[Key, Estimate]:
        """Every figure of the arm, by what it is of."""
        return {key_of(estimate): estimate for estimate in self.arm.estimates}

    @cached_property
    def rules(self) -> dict[Key, RuleResult]:
        """The gate's rules by the figure that they are about."""
        return {(rule.metric, rule.dataset, rule.attack, rule.view): rule for rule in self.report.verdict.rules}

    @cached_property
    def policy(self) -> dict[str, Any]:
        """The locked policy as data; empty where it cannot be read."""
        try:
            return read_document(read_bounded(self.folder.lock_file, MAX_BYTES), self.folder.lock_file).data
        except (OSError, ValueError, PolicyError):
            return {}

    def calibration(self, dataset: str, view: str) -> Calibration | None:
        """How the threshold of a dataset and view was set."""
        return next((one for one in self.report.calibration if (one.dataset, one.view) == (dataset, view)), None)

    def described(self) -> ComparedRun:
        """What a comparison says of it."""
        report = self.report
        identity = next((model for model in report.models if model.role == "candidate"), None)
        return ComparedRun(
            id=report.run.id,
            policy=report.policy.name,
            finished=report.run.finished,
            auditkit_version=report.run.auditkit_version,
            schema_version=report.migration.from_version if report.migration else report.schema_version,
            outcome=report.verdict.outcome,
            waived=waived_rules(report),
            arm=self.arm.name,
            model=candidate(report),
            model_sha256=identity.sha256 if identity else "",
            integrity=self.integrity,
            notes=[*self.notes, *self._own_notes()],
        )

    def _own_notes(self) -> list[str]:
        notes = []
        if self.arm.name != self.report.verdict.arm:
            notes.append(f"The arm that ships, {self.report.verdict.arm}, has no figures that count: the baseline's.")
        if self.report.migration:
            notes.append(f"Written in report schema {self.report.migration.from_version} by an earlier auditkit.")
        if not self.folder.audit_file.exists():
            notes.append("Purged: figures are those of its redacted report, and there is no evidence to pair.")
        return notes


def key_of(estimate: Estimate) -> Key:
    """What a figure is of."""
    return estimate.metric, estimate.dataset, estimate.attack, estimate.view


def read_run(path: Path, key: Path | None = None, unverified: bool = False) -> DiffRun:
    """A finished run, checked against its attestation.

    Args:
        path: The run folder.
        key: The signer's public key; without it a run is at best intact by an unknown signer.
        unverified: Also take a run that is not as it was attested.

    Raises:
        AuditkitError: no run, not finished, not as it was attested, or with nothing left to compare.
    """
    from auditkit.report.json_format import load

    folder = run_folder.existing(path)
    if not folder.finished:
        raise AuditkitError(f"{path} is not finished", f"go on with it: auditkit run --resume {path}")
    found = verify(folder.path, key)
    if not found.ok and not unverified:
        raise AuditkitError(
            f"{path} is not as it was attested: {found.problems[0]}{_more(found)}",
            f"see auditkit verify {path}; --unverified compares it all the same",
        )
    file = folder.audit_file if folder.audit_file.exists() else folder.redacted_audit_file
    return DiffRun(folder, load(file), found.integrity, found.notes)


def _more(found: Verification) -> str:
    others = len(found.problems) - 1
    return f" (and {others} more)" if others else ""

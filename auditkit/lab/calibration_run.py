"""The audit that a calibration looks at: begun, gone on with, or taken as it is."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from auditkit.attacks.base import Attack
from auditkit.auditing import runner
from auditkit.auditing.prepare import prepare
from auditkit.auditing.progress import Progress
from auditkit.auditing.provenance import code_sha256
from auditkit.auditing.run_folder import RunFolder, existing
from auditkit.auditing.secret import project_secret
from auditkit.auditing.state import STATE_FILE, RunState, data_digests
from auditkit.errors import AuditkitError
from auditkit.lab.calibration_dataset import DatasetRun
from auditkit.policy.load import load_policy
from auditkit.policy.schema import Policy
from auditkit.report.base import AuditReport


class CalibrationRun:
    """A finished audit of a family's final model."""

    def __init__(self, folder: RunFolder, report: AuditReport, policy: Policy) -> None:
        self.folder = folder
        self.report = report
        self.policy = policy
        self.state = _state(folder.path)
        self.family = ""  # named where there are several

    @property
    def attack(self) -> Attack:
        """The attack whose generations are looked at: the first through the chat template."""
        return main_attack(self.policy)

    @cached_property
    def datasets(self) -> list[DatasetRun]:
        """Every dataset with its evidence.

        Raises:
            AuditkitError: a data file is not what it was when the audit began.
        """
        found = prepare(self.policy, project_secret(self.policy))
        changed = [data.name for data in found if self.state.data_digests[data.name] != data_digests(data)]
        if changed:
            what = f"{', '.join(changed)}: the data is not that which was audited in {self.folder.path}"
            raise AuditkitError(what, "leave --run out, and the family is audited anew")
        return [DatasetRun(self, data) for data in found]


def main_attack(policy: Policy) -> Attack:
    """The first attack that is not the bare beginning of sequence."""
    return policy.through_template or policy.prefix_attacks[0]


def audit_family(policy_file: Path, out: Path, samples: int, progress: Progress) -> CalibrationRun:
    """Audit the family, with at least so many samples of its main attack; gone on with where such a run is there.

    Raises:
        AuditkitError: as for a run.
    """
    policy = _policy(policy_file, samples)
    for path in sorted(out.glob(f"{policy.name}-*"), reverse=True):
        if _same_audit(path, policy):
            result = runner.resume(path, progress)
            break
    else:
        result = runner.start(policy, out, progress)
    return CalibrationRun(existing(result.folder), result.report, policy)


def open_run(path: Path) -> CalibrationRun:
    """A finished audit as it is.

    Raises:
        AuditkitError: there is no finished run at this path.
    """
    from auditkit.auditing.publish import load_report

    folder = existing(path)
    return CalibrationRun(folder, load_report(folder), _state(path).restore_policy())


def _policy(file: Path, samples: int) -> Policy:
    policy = load_policy(file)
    attack = main_attack(policy)
    if attack.samples >= samples:
        return policy
    return load_policy(file, overrides=[f"attacks.{policy.attacks.index(attack)}.samples={samples}"])


def _same_audit(path: Path, policy: Policy) -> bool:
    """Whether a run is of this policy, by this very program: an older one's figures would be another instrument's."""
    try:
        state = _state(path)
    except AuditkitError:
        return False
    asked = (policy.source.sha256, policy.source.overrides, code_sha256())
    return (state.policy_sha256, state.overrides, state.code_sha256) == asked


def _state(path: Path) -> RunState:
    file = path / STATE_FILE
    try:
        return RunState.model_validate_json(file.read_bytes())
    except (OSError, ValueError):
        raise AuditkitError(f"{file} is missing or damaged", "give the folder of a whole run") from None

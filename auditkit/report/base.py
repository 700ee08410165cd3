"""The report as data: everything that every format shows, and nothing that it does not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from auditkit.records import ModelIdentity
from auditkit.registry import Plugin
from auditkit.report.arms import Mitigations
from auditkit.report.charted import (
    BandExample,
    Column,
    CoverageCurve,
    Figures,
    Histogram,
    ProbeChart,
    ProbeReport,
    Scatter,
    ScatterPoint,
    Series,
    Table,
)
from auditkit.report.copies import RenderedAgain
from auditkit.report.described import (
    AttackInfo,
    DatasetInfo,
    EmbeddingInfo,
    Migration,
    PolicyInfo,
    PrefixInfo,
    ReleaseInfo,
    RunInfo,
    SignatureInfo,
)
from auditkit.report.history import EarlierRuns, Registration
from auditkit.report.instrument import InstrumentCalibration
from auditkit.report.judged import Outcome, RuleOutcome, RulePower, RuleResult, Verdict
from auditkit.report.measured import Arm, AttackKind, Calibration, Finding, IndexInfo, PositiveControl, Viability
from auditkit.report.part import Part
from auditkit.report.scored import Attribution, BudgetForecast, LengthCheck, NearDuplicates, ThresholdCurve
from auditkit.report.stage_attribution import StageAttribution
from auditkit.report.waivers import DeclaredWaiver, WaivedRule, Waiver, WaiverFile, WaiverState
from auditkit.report.worth import Worth

# Its parts are defined by subject, and taken from here by everybody else.
__all__ = [
    "SCHEMA_VERSION",
    "Arm",
    "AttackInfo",
    "AttackKind",
    "AuditReport",
    "BandExample",
    "Calibration",
    "Column",
    "CoverageCurve",
    "DatasetInfo",
    "DeclaredWaiver",
    "EmbeddingInfo",
    "Figures",
    "Finding",
    "Histogram",
    "IndexInfo",
    "Migration",
    "Outcome",
    "PolicyInfo",
    "PositiveControl",
    "PrefixInfo",
    "ProbeChart",
    "ProbeReport",
    "ReleaseInfo",
    "ReportFormat",
    "RuleOutcome",
    "RulePower",
    "RuleResult",
    "RunInfo",
    "Scatter",
    "ScatterPoint",
    "Series",
    "SignatureInfo",
    "Table",
    "Verdict",
    "Viability",
    "WaivedRule",
    "Waiver",
    "WaiverFile",
    "WaiverState",
]

SCHEMA_VERSION = "1.1"


class AuditReport(Part):
    """All of an audit. Serialised as canonical JSON (RFC 8785) it is audit.json."""

    schema_version: str = SCHEMA_VERSION
    run: RunInfo
    seed: int
    policy: PolicyInfo
    release: ReleaseInfo
    signature: SignatureInfo
    provenance: dict[str, Any]
    models: list[ModelIdentity]
    datasets: list[DatasetInfo]
    attacks: list[AttackInfo]
    calibration: list[Calibration]
    positive_controls: list[PositiveControl]
    arms: list[Arm]
    findings: list[Finding]
    findings_total: int  # leaked records in all; ``findings`` is capped by the policy
    index: list[IndexInfo]
    probes: list[ProbeReport] = []
    figures: Figures
    thresholds: list[ThresholdCurve] = []
    forecasts: list[BudgetForecast] = []
    lengths: list[LengthCheck] = []
    near_duplicates: list[NearDuplicates] = []
    powers: list[RulePower] = []
    attribution: Attribution | None = None  # None where no dataset has a threshold
    instrument: InstrumentCalibration | None = None  # what it does on models whose training data is known
    mitigations: Mitigations | None = None  # None where the policy declares none
    registration: Registration | None = None  # None where the policy was not registered before the run
    earlier_runs: EarlierRuns | None = None  # None in reports from before the ledger was kept
    redacted: bool = False  # no text of the data is in it any more
    limits: list[str]  # what this audit does not show, as sentences
    verdict: Verdict
    migration: Migration | None = None  # None: written in this schema version
    waivers: list[DeclaredWaiver] = []  # all that were declared, in force or not
    waiver_file: WaiverFile | None = None  # None where the policy names none
    worth: Worth | None = None  # None where the policy declares no `worth`
    stages: StageAttribution | None = None  # None where the policy declares no checkpoints
    rendered_again: RenderedAgain | None = None  # None: written, and attested, by the run itself


class ReportFormat(Plugin, ABC):
    """A way to write an AuditReport into the run folder.

    ``textless`` names its files that hold no text of the data: they outlive a purge, and every other one is erased.
    """

    kind: str
    textless: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write the file or files of this format into ``folder`` and return them. No network."""

    def missing(self) -> str | None:
        """The extra to install where this format cannot be written here, else None."""
        return None

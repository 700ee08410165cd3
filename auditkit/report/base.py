"""The report as data: everything that every format shows, and nothing that it does not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

from auditkit.records import Estimate, Fact, ModelIdentity, View
from auditkit.registry import Plugin
from auditkit.report.arms import Mitigations
from auditkit.report.copies import RenderedAgain
from auditkit.report.history import EarlierRuns, Registration
from auditkit.report.instrument import InstrumentCalibration
from auditkit.report.part import Part
from auditkit.report.scored import (
    Attribution,
    BudgetForecast,
    LengthCheck,
    NearDuplicates,
    Span,
    ThresholdCurve,
)
from auditkit.report.waivers import DeclaredWaiver, WaivedRule, Waiver, WaiverFile, WaiverState

__all__ = ["DeclaredWaiver", "WaivedRule", "Waiver", "WaiverFile", "WaiverState"]  # with all that is defined here

SCHEMA_VERSION = "1.1"

RuleOutcome = Literal["pass", "fail", "inconclusive", "waived", "not_viable"]
Outcome = Literal["pass", "fail", "inconclusive"]
Viability = Literal["viable", "not_viable", "unknown"]
AttackKind = Literal["plain", "adaptive"]  # the policy's own attack; or one by somebody who knows the mitigation


class EmbeddingInfo(Part):
    """What it took to embed the texts in the run's last process; what was sent away, in all of its processes.

    Each distinct text of a batch counts once. ``long``: probably not read to their end by the embedder.
    """

    embedder: str
    texts: int  # empty and repeated ones included
    embedded: int
    cached: int  # known from an earlier audit, or from an earlier process of this one
    long: int
    texts_sent: int = 0
    characters_sent: int = 0
    estimated_usd: float = 0.0  # of what was sent and answered, at the policy's price


class RunInfo(Part):
    """When and by what; the only part in which a resumed run may differ from an undisturbed one."""

    id: str
    started: str
    finished: str
    resumed: int
    auditkit_version: str
    stage_seconds: dict[str, float] = {}
    peak_memory_bytes: dict[str, int] = {}
    embedding: EmbeddingInfo | None = None
    blind: str = ""  # random: without it, a digest of this file would confirm a guess at the texts in it


class PolicyInfo(Part):
    name: str
    sha256: str
    preset: str | None = None
    weaker_than_preset: list[str] = []  # sentences for page one
    text: str = ""  # the locked policy, secrets never in it
    file: str = ""  # seen from the repository's root, or from the policy's folder where there is none


class DatasetInfo(Part):
    name: str
    stage: str
    records: int
    controls: int
    calibration_controls: int
    evaluation_controls: int
    duplicates: int
    clusters: int
    bad_lines: int
    merkle_root: str
    licence: str
    owner: str
    classification: str
    external_processing: str
    views: list[View]
    folder: str | None = None  # what the files of findings are relative to, seen as PolicyInfo.file; None: outside


class PrefixInfo(Part):
    name: str
    text: str
    token_ids: list[int]
    sha256: str
    note: str = ""


class AttackInfo(Part):
    """One attack as run: its declared parameters, the literal prefixes, and how the generations ended."""

    name: str
    kind: str
    parameters: dict[str, Any]
    prefixes: list[PrefixInfo]
    generations: int
    finished: dict[str, int]  # finish reason -> generations
    turn_changes: dict[str, int]  # by the model, appended by the attack, none
    tokens: int


class Calibration(Part):
    """The threshold of one dataset and view. ``threshold`` None: uncalibrated, with the reason."""

    dataset: str
    view: View
    embedder: str
    threshold: float | None
    source: Literal["calibrated", "policy", "uncalibrated"]
    declared_fpr: float | None
    fpr: float | None  # share of the calibration half at or above the threshold, near-duplicate controls as one
    fpr_high: float | None
    evaluation_fpr: float | None  # the same on the half that did not set it
    evaluation_fpr_high: float | None
    controls: int
    reason: str = ""


class PositiveControl(Part):
    """Members, altered in a known way, used as queries: what share is found at the threshold."""

    dataset: str
    view: View
    variant: str
    tpr: float
    low: float
    high: float
    queries: int
    required: bool  # one of the four that decide whether a verdict is possible


class Arm(Part):
    """The baseline, or one mitigation under the attacks that its attacker can make.

    ``failed``: why it could not be made or measured at all ("" where it was). ``meaningless``: why it means nothing
    against the planned release's attacker ("" where it does mean something): such an arm is judged as the baseline.
    """

    name: str
    mitigation: str | None
    attacker: str
    estimates: list[Estimate]
    utility: list[Estimate] = []
    acts_on: str = ""
    summary: str = ""  # one sentence: what the mitigation does
    source: str = ""
    parameters: dict[str, Any] = {}
    facts: list[Fact] = []
    failed: str = ""
    meaningless: str = ""
    viability: Viability = "viable"
    viability_reasons: list[str] = []  # sentences
    attack_kinds: dict[str, AttackKind] = {}  # attack -> whether it knows the mitigation
    prompts_only: list[str] = []  # attacks whose generations hold no whole records
    withheld: dict[str, int] = {}  # attack -> generations that a filter withheld
    generations: dict[str, int] = {}  # attack -> generations
    weaker: list[str] = []  # what the policy took from the attacks that know the mitigation, as sentences
    weights_sha256: str = ""
    probes_reason: str = ""  # why the probes were not asked again, where they were not


class Finding(Part):
    """One leaked record with its best evidence. Texts are in audit.json, the full reports and the evidence only."""

    id: str  # keyed
    dataset: str
    record: str  # keyed
    generation: str  # keyed
    generation_id: str
    record_index: int
    view: View
    measure: str
    score: float
    levenshtein: float
    record_text: str
    generation_text: str
    file: str
    line: int
    spans: list[Span] = []  # longest first
    longest_match: float | None = None  # longest common contiguous span of tokens / tokens of the record
    longest_match_tokens: int = 0
    record_tokens: int = 0
    waived: str = ""  # by whom, until when and why, where a waiver covers this record


class IndexInfo(Part):
    dataset: str
    view: View
    kind: str
    recall_at_1: float
    queries: int
    reason: str = ""
    pair_recall: float | None = None  # of the pairs within the threshold in the sample; None where there are none
    pairs: int = 0
    cut: int = 0  # queries with more records within the threshold than an approximate index is asked for


class Histogram(Part):
    """Counts between edges; len(counts) == len(edges) - 1."""

    dataset: str
    attack: str
    view: View
    measure: str
    edges: list[float]
    counts: list[int]
    sample: int


class ScatterPoint(Part):
    embedding: float
    levenshtein: float
    length: int


class Scatter(Part):
    dataset: str
    attack: str
    view: View
    threshold: float | None
    points: list[ScatterPoint]


class CoverageCurve(Part):
    """Distinct clusters hit (as a share) after so many generations, for members and evaluation controls."""

    dataset: str
    attack: str
    view: View
    generations: list[int]
    members: list[float]
    controls: list[float]


class BandExample(Part):
    """A pair drawn at random from a 0.05 band of embedding score, as the paper's appendices show."""

    dataset: str
    attack: str
    view: View
    low: float
    high: float
    score: float
    levenshtein: float
    record: str
    generation: str
    record_text: str
    generation_text: str


class Figures(Part):
    histograms: list[Histogram]
    scatters: list[Scatter]
    coverage_curves: list[CoverageCurve]
    bands: list[BandExample]


class Column(Part):
    """A column of a probe's table. ``record``: the cells are keyed ids of records."""

    name: str
    kind: Literal["text", "count", "number", "percent", "record"] = "text"


class Table(Part):
    """A probe's table; None is a cell without a value."""

    title: str
    columns: list[Column]
    rows: list[list[str | int | float | None]]
    note: str = ""


class Series(Part):
    """One line, or one set of bars, of a chart: len(x) == len(y). Where bars are wide, x is their left edge."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float] = []
    high: list[float] = []


class ProbeChart(Part):
    """A probe's chart. ``diagonal``: what a coin would give is drawn from corner to corner."""

    title: str
    caption: str
    kind: Literal["bars", "lines", "points"]
    x_label: str
    y_label: str
    series: list[Series]
    x_log: bool = False
    y_log: bool = False
    diagonal: bool = False


class ProbeReport(Part):
    """One probe (or one attack on given records) on one dataset, as run."""

    name: str
    kind: str
    dataset: str
    parameters: dict[str, Any]
    notes: list[str]  # sentences: what the reader must know of these figures
    unscored: dict[str, int]  # reason -> records
    tables: list[Table]
    charts: list[ProbeChart]


class RuleResult(Part):
    """One rule on one dataset."""

    rule: str  # as words: "adjusted_coverage of template_prefix <= 0.01"
    metric: str
    arm: str
    dataset: str
    attack: str
    view: View
    estimate: Estimate | None
    limit: float
    outcome: RuleOutcome
    reason: str
    line: int = 0  # of the rule in the policy's file; 0 where a preset brought it
    waivers: list[int] = []  # numbers of the waivers that turned a failure into "waived"


class RulePower(Part):
    """What one rule can show on one dataset with what is declared, and what it would take. None: not defined.

    ``to_pass``: of ``unit``, with no hit at all; ``to_detect_80``, ``to_detect_95``: so many that a true figure of
    twice the limit fails the rule with that probability; ``detects``: that probability with ``declared`` of them.
    """

    metric: str
    dataset: str
    attack: str
    limit: float
    unit: str
    declared: int | None
    to_pass: int | None
    to_detect_80: int | None = None
    to_detect_95: int | None = None
    detects: float | None = None
    note: str = ""


class Verdict(Part):
    """The one value that screen, exit code, report and JSON come from."""

    outcome: Outcome
    arm: str
    rules: list[RuleResult]
    cautions: list[str]  # what kept the audit from a better verdict, or must be read with it

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive."""
        return {"pass": 0, "fail": 1, "inconclusive": 3}[self.outcome]


class ReleaseInfo(Part):
    organisation: str
    auditor: str
    access: str
    arm: str


class SignatureInfo(Part):
    """What the pages say of the signature; the signature itself is in files of its own."""

    signed: bool
    label: str = ""  # "DEMO" where the keys were made for a demonstration
    key_id: str = ""
    certificate_subject: str = ""
    timestamp_host: str = ""  # of the authority that time-stamps the PDF signatures; "" where none is asked


class Migration(Part):
    """Where a report was written by an auditkit of an earlier schema version: which, and what it did not record."""

    from_version: str
    not_recorded: list[str] = []  # in words


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

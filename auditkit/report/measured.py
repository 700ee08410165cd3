"""What was measured: thresholds and whether they see a leak, the figures of each arm, the records that leaked."""

from __future__ import annotations

from typing import Any, Literal

from auditkit.records import Estimate, Fact, View
from auditkit.report.part import Part
from auditkit.report.scored import Span

Viability = Literal["viable", "not_viable", "unknown"]
AttackKind = Literal["plain", "adaptive"]  # the policy's own attack; or one by somebody who knows the mitigation


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

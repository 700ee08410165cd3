"""What moved between two runs, as data: what the terminal, the page and the JSON of ``auditkit diff`` show."""

from __future__ import annotations

from typing import Literal

from auditkit.records import Estimate, View
from auditkit.report.base import Outcome, RuleOutcome
from auditkit.report.part import Part

DIFF_VERSION = "1.0"
ALPHA = 0.05

Pairing = Literal["paired", "independent", "none"]
# rose, fell: shown, corrected for how many comparisons decide where the line does. rose_alone, fell_alone: the line's
# own interval lies beyond 0, but not after that correction. level: the interval holds 0.
Movement = Literal["rose", "fell", "rose_alone", "fell_alone", "level", "not_compared"]
# incomparable: not one figure of either gate could be compared like with like.
DiffOutcome = Literal["rose", "fell", "level", "incomparable"]


class ComparedRun(Part):
    """One of the two runs."""

    id: str
    policy: str
    finished: str
    auditkit_version: str
    schema_version: str  # as written
    outcome: Outcome
    waived: int = 0  # failed rules that waivers turned
    arm: str  # whose figures are compared
    model: str  # what the candidate is called
    model_sha256: str
    integrity: str  # "intact, signer unknown"
    notes: list[str] = []  # sentences


class Compared(Part):
    """One figure of both runs. ``difference`` is after minus before: above 0 is more.

    ``decides``: it is of either gate, and was measured alike, so that it counts for the outcome; ``why`` says what its
    interval rests on, and what kept it from more. ``p``: two-sided, from the interval; ``adjusted_p``: by Holm over
    all that decide. ``threshold``: where it is read off the curves, at a threshold that is not the runs' own.
    """

    metric: str
    dataset: str
    attack: str
    view: View
    before: Estimate | None
    after: Estimate | None
    difference: Estimate | None = None
    pairing: Pairing = "none"
    why: str = ""
    gate: bool = False
    decides: bool = False
    limit_before: float | None = None
    limit_after: float | None = None
    outcome_before: RuleOutcome | None = None
    outcome_after: RuleOutcome | None = None
    p: float | None = None
    adjusted_p: float | None = None
    movement: Movement = "not_compared"
    threshold: float | None = None
    arm: str = ""  # where it is not the arm that ships: one that both runs have


class ScoreShift(Part):
    """A probe's scores record by record: after minus before, its mean with a 95 % interval.

    ``excess`` is the members' mean minus the controls': what is not a general change of the model.
    """

    probe: str
    metric: str
    dataset: str
    records: int  # members scored in both runs
    members: Estimate | None
    controls: Estimate | None
    excess: Estimate | None
    rises: int = 0
    falls: int = 0
    note: str = ""


class MovedRecord(Part):
    """A record that one run's generations reach and the other's do not. ``record``: keyed id, "" where not known."""

    record: str
    index: int
    score_before: float  # of its nearest generation
    score_after: float


class RecordsMoved(Part):
    """Which records leak now and did not, and the other way round; lists are capped, counts are not."""

    dataset: str
    view: View
    attacks: list[str]
    records: int = 0
    before: int = 0
    after: int = 0
    appeared: int = 0
    vanished: int = 0
    newly: list[MovedRecord] = []  # highest score first
    no_longer: list[MovedRecord] = []
    reason: str = ""  # why they cannot be compared one by one


class NotSame(Part):
    """One thing in which the two audits differ, and what follows for the figures."""

    what: str
    before: str
    after: str
    consequence: str


class Diff(Part):
    """All of a comparison. ``gate`` holds every figure that either gate speaks of, ``others`` the rest of both runs."""

    diff_version: str = DIFF_VERSION
    auditkit_version: str
    before: ComparedRun
    after: ComparedRun
    outcome: DiffOutcome
    sentence: str
    alpha: float
    comparisons: int  # that decide
    gate: list[Compared]
    others: list[Compared]
    scores: list[ScoreShift]
    records: list[RecordsMoved]
    not_same: list[NotSame]
    method: list[str]  # sentences

    @property
    def exit_code(self) -> int:
        """1 where leakage rose, 2 where nothing of either gate could be compared, else 0."""
        return {"rose": 1, "incomparable": 2}.get(self.outcome, 0)

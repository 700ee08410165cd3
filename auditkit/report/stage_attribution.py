"""Which training stage each leaked record was learnt in, as data: figures and keyed ids, no text."""

from __future__ import annotations

from typing import Literal

from auditkit.report.part import Part

How = Literal["alone", "largest", "attack", "before", "close", "none", "unread"]


class Spread(Part):
    """Five quantiles of a number over many records; all None where there is none."""

    p05: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p95: float | None = None


class ChainModel(Part):
    """One checkpoint. ``stage`` is the one that the policy says led to it; "" where it says nothing."""

    name: str
    stage: str
    sha256: str
    generations: int  # of all attacks together


class StageStep(Part):
    """What one dataset's leaked records did at one checkpoint.

    ``came_out``: how many of the records that leak in the end came out of it by then or later again; ``named``: how
    many are said to have been learnt there. Rises are in nats a token, and of the step that led to the checkpoint; the
    first has none.
    """

    dataset: str
    checkpoint: str
    came_out: int
    controls_out: float | None  # share of the never-trained controls that came out of it
    named: int
    first_out: int  # leaked records that came out here and of no earlier checkpoint
    control_rise: float | None = None
    excess: Spread = Spread()  # of the leaked records, above controls of like length
    named_excess: Spread = Spread()  # of those that are named to it


class DatasetStages(Part):
    """One dataset's leaked records by how they were named. ``agree``: named to a checkpoint of the declared stage."""

    dataset: str
    stage: str  # as the policy declares it
    leaked: int
    named: int
    how: dict[How, int]
    agree: int | None = None  # None where no checkpoint says its stage
    reason: str = ""  # why nothing could be named


class StageLeak(Part):
    """How much of the data of one stage leaks, near-duplicates counted once; with its 95 % Clopper-Pearson interval."""

    stage: str
    datasets: list[str]
    records: int
    records_leaked: int
    clusters: int
    clusters_leaked: int
    rate: float
    low: float
    high: float
    controls_rate: float | None  # share of these datasets' evaluation controls that came out: what chance brings


class RecordStage(Part):
    """One leaked record. ``rises`` and ``excess`` are nats a token, one a step; None where it could not be read."""

    dataset: str
    record: str  # keyed
    file: str
    line: int
    checkpoint: str  # the one at which it was learnt; "" where that is unclear
    how: How
    first_out: str  # the first checkpoint that it came out of
    rises: list[float | None]
    excess: list[float | None]


class StageAttribution(Part):
    """The whole section; ``records`` are capped by the policy, and the whole list is in the evidence."""

    checkpoints: list[ChainModel]
    under: list[str]  # the prefixes that records were read under
    steps: list[StageStep]
    datasets: list[DatasetStages]
    leaks: list[StageLeak]  # most per record first
    records: list[RecordStage]
    records_total: int
    fewer: list[str] = []  # checkpoints that were attacked with fewer generations than the candidate

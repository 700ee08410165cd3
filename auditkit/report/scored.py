"""What scoring adds to the report beside the estimates: thresholds, forecasts, shared spans, and whose data leaked."""

from __future__ import annotations

from typing import Literal

from auditkit.records import View
from auditkit.report.part import Part
from auditkit.report.removal import RemovalForecast

GroupKind = Literal["dataset", "owner", "licence", "tag"]


class Span(Part):
    """A stretch that a record and a generation share to the letter; offsets and length in characters of each text."""

    record_start: int
    generation_start: int
    length: int


class ThresholdPoint(Part):
    """At one threshold: the share of scored generations that reach it, against members and against controls."""

    threshold: float
    members: float
    members_low: float
    members_high: float
    controls: float
    controls_low: float
    controls_high: float
    adjusted: float  # members - controls
    adjusted_low: float
    adjusted_high: float


class ThresholdCurve(Part):
    """Rate against threshold. Members are drawn to as many as there are evaluation controls, so that both are equal.

    ``drawn``: at random, or so that their lengths are distributed as those of the controls. By exact search, whatever
    the index; of very many generations one in ``every`` is looked at.
    """

    dataset: str
    attack: str
    view: View
    drawn: Literal["at_random", "by_length"]
    records: int  # on either side
    generations: int  # scored
    every: int = 1
    points: list[ThresholdPoint]


class LengthCheck(Part):
    """Whether members and controls differ in length, which scores depend on: told by their lengths alone.

    ``auc``: the chance that a member is longer than a control, with its 95 % interval; a half: of like length.
    """

    dataset: str
    view: View
    auc: float
    low: float
    high: float
    members: float  # median, characters
    controls: float

    @property
    def differ(self) -> bool:
        """Whether they differ enough to matter, whatever the chance in who was drawn."""
        return min(abs(self.low - 0.5), abs(self.high - 0.5)) > 0.05 and not self.low <= 0.5 <= self.high


class NearDuplicates(Part):
    """Records that nearly repeat each other, and controls that nearly repeat a member: Levenshtein similarity."""

    dataset: str
    threshold: float
    clusters: int  # of two and more records
    largest: int  # records in the largest
    records: int  # in such clusters
    controls: int  # near a member
    near_controls: Literal["refuse", "exclude", "keep"]  # what the policy does with these
    prompts: int = 0  # controls kept of which the prompt alone is near a member's
    control_clusters: int = 0  # of two and more controls that nearly repeat each other
    control_records: int = 0  # in such clusters


class Foreseen(Part):
    """A figure that was not seen, with its 95 % interval."""

    value: float
    low: float
    high: float


class ForeseenAt(Part):
    """Coverage after so many generations, with its 95 % interval."""

    generations: int
    value: float
    low: float
    high: float


class BudgetForecast(Part):
    """What more generations of one attack would find of one dataset. None: undefined, and ``reason`` says why."""

    dataset: str
    attack: str
    view: View
    generations: int
    clusters: int
    clusters_hit: int
    unseen_mass: Foreseen | None = None  # Good-Turing: new clusters a generation
    at_twice: Foreseen | None = None  # Good-Toulmin: coverage after twice the generations
    reachable: Foreseen | None = None  # Chao2: coverage that the attack tends to, at least
    on_the_way: list[ForeseenAt] = []  # from the generations that were made to twice as many
    reason: str = ""


class LeakGroup(Part):
    """What leaked of one owner's, one licence's, ... records."""

    by: GroupKind
    name: str  # empty: the policy, or the record, says nothing
    records: int
    records_leaked: int
    clusters: int
    clusters_leaked: int
    generations: int  # that reach the threshold and have their best match here


class Removal(Part):
    """One near-duplicate cluster that could be taken out of the data, and what that would take away."""

    dataset: str
    record: str  # keyed, the cluster's best match
    record_index: int
    file: str
    line: int
    owner: str
    licence: str
    tags: list[str]
    records: int  # in the cluster: what must be removed together
    generations: int  # that reach the threshold and have their best match in the cluster
    risk_per_record: float  # share of all such generations of the dataset, divided by ``records``
    cumulative: float  # share taken away by this removal and all before it
    extraction_probability: float | None = None  # of its likeliest record, to the letter; None where it was not read


class Attribution(Part):
    """Leaks by whose they are, and the removals in the order of risk taken away per record removed."""

    groups: list[LeakGroup]  # of each kind the ones with most leaked records
    groups_total: int = 0
    removals: list[Removal]
    removals_total: int  # ``removals`` is capped by the policy
    forecasts: list[RemovalForecast] = []  # one a dataset: what would be left of the leak

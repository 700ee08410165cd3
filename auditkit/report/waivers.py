"""Waivers: what an approver signed, and what became of each in one audit."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from auditkit.report.part import Part

LONGEST_DAYS = 366
RECORD_ID = r"^rec-[0-9a-f]{20}$"

WaiverState = Literal[
    "in force", "expired", "not yet valid", "other model", "other policy", "unsigned", "bad signature"
]


def _printable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be one line of printable text")
    return text


def _day(text: str) -> str:
    date.fromisoformat(text)  # its ValueError says what is wrong
    return text


Name = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9_.-]*)$", max_length=120)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_day)]
Share = Annotated[float, Field(ge=0, le=1)]


class WaivedRule(Part):
    """Which rules a waiver is about; "*" is each. ``max``: the limit waived, so that a stricter one is not.

    ``at_most``: the estimate up to which the waiver holds (a share, 0 to 1); beyond it counts for nothing.
    """

    metric: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,79}$")]
    attack: Name
    dataset: Name
    view: Literal["record", "prompt", "*"]
    max: Share
    at_most: Share | None

    def is_about(self, metric: str, attack: str, dataset: str, view: str, limit: float) -> bool:
        """Whether a rule with this limit, on this target, is one of those waived."""
        named = (self.attack, self.dataset, self.view)
        fits = all(ours in ("*", theirs) for ours, theirs in zip(named, (attack, dataset, view), strict=True))
        return fits and self.metric == metric and self.max <= limit

    def holds_at(self, value: float | None) -> bool:
        """Whether the waiver still stands at this estimate."""
        return self.at_most is None or (value is not None and value <= self.at_most)


class Waiver(Part):
    """One signed exception: for a rule or for a record, why, by whom, from when until when (UTC, both days included).

    ``record`` is a keyed id. ``model_sha256``: the candidate that it is bound to, "" for any.
    """

    rule: WaivedRule | None = None
    record: Annotated[str, Field(pattern=RECORD_ID)] | None = None
    reason: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_printable)]
    who: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
    issued: Day
    expires: Day
    model_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""

    @model_validator(mode="after")
    def _one_subject_and_a_bounded_time(self) -> Self:
        if (self.rule is None) == (self.record is None):
            raise ValueError("a waiver is for a rule or for a record")
        issued, expires = date.fromisoformat(self.issued), date.fromisoformat(self.expires)
        if not timedelta(0) <= expires - issued <= timedelta(days=LONGEST_DAYS):
            latest = issued + timedelta(days=LONGEST_DAYS)
            raise ValueError(
                f"it expires on {expires}, and one issued on {issued} may expire from that day to {latest}"
            )
        return self

    def state(self, day: str, model_sha256: str) -> WaiverState:
        """What it is worth on a day (YYYY-MM-DD, UTC) for a candidate model, its signature apart."""
        if day < self.issued:
            return "not yet valid"
        if day > self.expires:
            return "expired"
        return "other model" if self.model_sha256 not in ("", model_sha256) else "in force"

    @property
    def subject(self) -> str:
        """What it is for, in words."""
        if self.rule is None:
            return f"record {self.record}"
        rule = self.rule
        bound = f", up to {rule.at_most:g}" if rule.at_most is not None else ""
        return f"{rule.metric} of {rule.attack} on {rule.dataset} ({rule.view}) above {rule.max:g}{bound}"


class DeclaredWaiver(Part):
    """A waiver as it stood in the file (``number`` from 1), what it was worth at the end of the run, what it did.

    ``applied``: the rules that it turned, in the verdict's words; ``note``: why it did nothing, as a sentence.
    """

    number: int
    waiver: Waiver
    state: WaiverState
    applied: list[str] = []
    note: str = ""


class WaiverFile(Part):
    """The file that the waivers came from, as copied into the run folder. ``notes`` are sentences for the report."""

    file: str
    sha256: str  # "" where there was no file
    approver: str  # id of the key that decides who may waive
    notes: list[str] = []

"""Controls that nearly repeat a member: what is learnt of one is said of the other, and a leak passes for chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from auditkit.corpus.base import Corpus
from auditkit.errors import DataError, Problem
from auditkit.policy.schema import DatasetSection
from auditkit.scoring.strings import best_string_matches

NAMED = 20


@dataclass(frozen=True)
class NearControl:
    """A control, the member that it is most like, and how like; positions in their corpora as read."""

    control: int
    member: int
    similarity: float


def near_controls(members: Corpus, controls: Corpus, threshold: float) -> list[NearControl]:
    """The controls whose whole text has a Levenshtein similarity of at least ``threshold`` to some member's."""
    nearest, similarity = best_string_matches(controls.texts("record"), members.texts("record"), floor=threshold)
    found = zip(nearest.tolist(), similarity.tolist(), strict=True)
    return [NearControl(control, member, score) for control, (member, score) in enumerate(found) if member >= 0]


def refuse_near_controls(
    section: DatasetSection, members: Corpus, controls: Corpus, found: Sequence[NearControl]
) -> None:
    """Name the pairs, without a word of them.

    Raises:
        DataError: there are any.
    """
    if not found:
        return
    problems = [_problem(section, members, controls, near) for near in found[:NAMED]]
    last = problems[-1]
    more = (
        f"{len(found):,} of {len(controls.records):,} controls nearly repeat members in all: they would hide leaks. "
        "Take them out, or say near_controls: exclude to have them left out, or near_controls: keep if they are twins "
        "by design (no rule on this dataset can then pass)"
    )
    raise DataError([*problems[:-1], Problem(last.file, last.line, last.message, more)])


def _problem(section: DatasetSection, members: Corpus, controls: Corpus, near: NearControl) -> Problem:
    control, member = controls.records[near.control], members.records[near.member]
    place = f"{Path(member.file).name}:{member.line}"
    # Rounded down, so that no pair under 1 is called equal.
    likeness = f"{int(near.similarity * 1000) / 1000:.3f}"
    message = f"this control of {section.name} nearly repeats the member at {place}: similarity {likeness}"
    return Problem(Path(control.file), control.line, message)


def without(controls: Corpus, found: Sequence[NearControl]) -> Corpus:
    """The corpus of controls without these; the others keep their order, and are numbered anew."""
    left_out = {near.control for near in found}
    kept = [record for place, record in enumerate(controls.records) if place not in left_out]
    return replace(controls, records=tuple(replace(record, index=place) for place, record in enumerate(kept)))

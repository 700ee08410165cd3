"""Controls that nearly repeat a member: what is learnt of one is said of the other, and a leak passes for chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from auditkit.corpus.base import Corpus
from auditkit.errors import DataError, Problem
from auditkit.policy.schema import DatasetSection
from auditkit.records import View
from auditkit.scoring.strings.best import best_string_matches

NAMED = 20
# What is as like as this is one text, whatever a policy calls memorised; a lower threshold of the policy goes further.
NEAR = 0.9


@dataclass(frozen=True)
class NearControl:
    """A control, the member that it is most like, and how like; positions in their corpora as read."""

    control: int
    member: int
    similarity: float


def near_controls(
    members: Corpus, controls: Corpus, threshold: float = NEAR, view: View = "record"
) -> list[NearControl]:
    """The controls whose text in this view has a Levenshtein similarity of at least ``threshold`` to some member's."""
    nearest, similarity = best_string_matches(controls.texts(view), members.texts(view), floor=threshold)
    found = zip(nearest.tolist(), similarity.tolist(), strict=True)
    return [NearControl(control, member, score) for control, (member, score) in enumerate(found) if member >= 0]


def near_prompts(
    members: Corpus, controls: Corpus, threshold: float, known: Sequence[NearControl]
) -> tuple[NearControl, ...]:
    """The controls whose prompt alone nearly repeats a member's, in records that otherwise differ.

    They blind the prompt view, and that view only. It is no error: short prompts made from one template, or sums of
    one kind, can be a letter apart and ask for something else (of the test split of GSM8K, 2 in 1,319 are).

    ``known``: controls that repeat a member as a whole. A dataset of prompts alone has no other view.
    """
    if "record" not in members.views:
        return ()
    seen = {near.control for near in known}
    return tuple(near for near in near_controls(members, controls, threshold, "prompt") if near.control not in seen)


def near_prompts_sentence(members: Corpus, controls: Corpus, found: Sequence[NearControl]) -> str:
    """How many there are, and where the nearest pair lies; without a word of it."""
    nearest = max(found, key=lambda near: near.similarity)
    control, member = controls.records[nearest.control], members.records[nearest.member]
    return (
        f"the prompts of {len(found):,} of {len(controls.records):,} controls nearly repeat a member's, though the "
        f"whole records differ (nearest: {Path(control.file).name}:{control.line} and "
        f"{Path(member.file).name}:{member.line})"
    )


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
    message = f"this control of {section.name} nearly repeats the member at {place}: similarity {likeness} (record)"
    return Problem(Path(control.file), control.line, message)


def without(controls: Corpus, found: Sequence[NearControl]) -> Corpus:
    """The corpus of controls without these; the others keep their order, and are numbered anew."""
    left_out = {near.control for near in found}
    kept = [record for place, record in enumerate(controls.records) if place not in left_out]
    return replace(controls, records=tuple(replace(record, index=place) for place, record in enumerate(kept)))

"""Deduplication: what nearly repeats itself is seen once an epoch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from auditkit.mitigations.base import Declared, Workshop
from auditkit.mitigations.retraining import TrainingMitigation
from auditkit.records import Fact, Record
from auditkit.training.examples import REPLAY, Example

Key = tuple[str, int] | str


class Deduplication(TrainingMitigation):
    """Retrains on one record of each group of near-duplicates, seen once an epoch.

    Groups are the policy's own clusters of near-duplicates. Data that only the recipe names is held against the
    declared members, and against itself, by its words alone: letter case, punctuation and white space do not count. A
    record that stands behind a system turn in some of its repeats only is seen without one.
    """

    summary: ClassVar[str] = "Retrained on data of which near-duplicates were removed, each record seen once an epoch."
    source: ClassVar[str] = "Lee et al. 2022, arXiv:2107.06499; Kandpal et al. 2022, arXiv:2202.06539"

    kind: Literal["deduplication"]

    def examples(self, workshop: Workshop) -> tuple[list[Example], tuple[Fact, ...]]:
        found, said = super().examples(workshop)
        kept = deduplicated(found, workshop.datasets)
        rows = sum(example.repeats for example in found)
        note = (
            "an epoch; by the policy's clusters of near-duplicates, and by the same words for what it does not declare"
        )
        return kept, (*said, Fact("rows before deduplication", rows, "an epoch"), Fact("rows kept", len(kept), note))


def deduplicated(examples: list[Example], datasets: Sequence[Declared]) -> list[Example]:
    """The first example of each group, once; replayed plain text is left as it was drawn."""
    clusters = {_words(record.text): (data.name, int(label)) for data in datasets for record, label in _labelled(data)}
    first: dict[Key, Example] = {}
    for example in examples:
        if example.source != REPLAY:
            words = _words(example.text)
            once = replace(example, repeats=1, systems=example.each_time[-1:])
            first.setdefault(example.cluster or clusters.get(words) or words, once)
    return [*first.values(), *(example for example in examples if example.source == REPLAY)]


def _labelled(data: Declared) -> zip[tuple[Record, int]]:
    return zip(data.members, data.clusters.tolist(), strict=True)


def _words(text: str) -> str:
    """The words of a text in small letters, one space between; of one without any, the text."""
    normalised = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", normalised)) or normalised

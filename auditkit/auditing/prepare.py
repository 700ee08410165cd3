"""Everything that is known before a model is opened: records, controls, digests, clusters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auditkit.auditing.near_controls import (
    NEAR,
    NearControl,
    near_controls,
    near_prompts,
    refuse_near_controls,
    without,
)
from auditkit.auditing.progress import Progress, Silent, single
from auditkit.corpus.base import Corpus
from auditkit.corpus.fields import FieldMap, TraceMarkers
from auditkit.corpus.merkle import corpus_root
from auditkit.corpus.overlap import exact_overlap
from auditkit.corpus.read import read_corpus
from auditkit.corpus.trace import cut_generation
from auditkit.errors import DataError, Problem
from auditkit.policy.power import Sizes
from auditkit.policy.schema import DatasetSection, Fields, Policy, Trace
from auditkit.records import Generation, View
from auditkit.report.base import DatasetInfo
from auditkit.report.scored import NearDuplicates
from auditkit.scoring.calibration import split_controls
from auditkit.scoring.strings.best import StringIndex
from auditkit.scoring.strings.near_duplicates import near_duplicate_clusters

Labels = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PreparedDataset:
    """A declared dataset as read, its controls split in two halves, near-duplicates labelled as clusters.

    ``near_controls`` counts the controls that nearly repeat a member; where the policy excludes them, they are not in
    ``controls``. ``near_prompts`` are controls of which the prompt alone nearly repeats a member's: they are kept.
    """

    section: DatasetSection
    members: Corpus
    controls: Corpus
    merkle_root: str
    near_duplicate_threshold: float
    near_controls: int = 0
    near_prompts: tuple[NearControl, ...] = ()

    @property
    def name(self) -> str:
        """The dataset's name in the policy."""
        return self.section.name

    @property
    def views(self) -> tuple[View, ...]:
        """The views that its records can be matched by."""
        return self.members.views

    @cached_property
    def clusters(self) -> Labels:
        """(records,) near-duplicate cluster of each member."""
        return near_duplicate_clusters(self.members.texts("record"), self.near_duplicate_threshold)

    @cached_property
    def control_clusters(self) -> Labels:
        """(controls,) near-duplicate cluster of each control."""
        return near_duplicate_clusters(self.controls.texts("record"), self.near_duplicate_threshold)

    @cached_property
    def control_halves(self) -> tuple[Indices, Indices]:
        """Controls that set the threshold, controls that evaluate; a cluster is never split."""
        return split_controls([record.id for record in self.controls.records], self.control_clusters)

    @property
    def calibration(self) -> Indices:
        """Positions of the controls that set the threshold."""
        return self.control_halves[0]

    @property
    def evaluation(self) -> Indices:
        """Positions of the controls that are never seen while it is set."""
        return self.control_halves[1]

    @property
    def trace(self) -> TraceMarkers | None:
        """How reasoning is marked, where the policy says so."""
        return trace_markers(self.section.trace)

    def seen_texts(self, batch: list[Generation], view: View) -> list[str]:
        """Generations as this dataset sees them: where it declares trace markers, the final answer is kept."""
        if self.trace:
            batch = [cut_generation(generation, self.trace) for generation in batch]
        return [generation.view(view) for generation in batch]

    def string_index(self, view: View) -> StringIndex:
        """The members' texts of a view, made ready once for every search by edit distance."""
        if view not in self._string_indexes:
            self._string_indexes[view] = StringIndex(self.members.texts(view))
        return self._string_indexes[view]

    @cached_property
    def _string_indexes(self) -> dict[View, StringIndex]:
        return {}

    def sizes(self) -> Sizes:
        """How much evidence it offers: near-duplicates count once, on either side."""
        halves = (len(np.unique(self.control_clusters[half])) for half in self.control_halves)
        return Sizes(len(np.unique(self.clusters)), *halves)

    def near_duplicates(self) -> NearDuplicates:
        """What nearly repeats what."""
        sizes = np.bincount(self.clusters)
        several = sizes[sizes > 1]
        of_controls = np.bincount(self.control_clusters)
        repeated = of_controls[of_controls > 1]
        return NearDuplicates(
            dataset=self.name,
            threshold=self.near_duplicate_threshold,
            clusters=len(several),
            largest=int(sizes.max(initial=0)),
            records=int(several.sum()),
            controls=self.near_controls,
            near_controls=self.section.near_controls,
            prompts=len(self.near_prompts),
            control_clusters=len(repeated),
            control_records=int(repeated.sum()),
        )

    def info(self) -> DatasetInfo:
        """What the report says of it."""
        section = self.section
        return DatasetInfo(
            name=self.name,
            stage=section.stage,
            records=len(self.members.records),
            controls=len(self.controls.records),
            calibration_controls=len(self.calibration),
            evaluation_controls=len(self.evaluation),
            duplicates=self.members.duplicates,
            clusters=len(np.unique(self.clusters)),
            bad_lines=self.members.bad_total + self.controls.bad_total,
            merkle_root=self.merkle_root,
            licence=section.licence,
            owner=section.owner,
            classification=section.classification,
            external_processing=section.external_processing,
            views=list(self.views),
        )


def prepare(policy: Policy, secret: bytes, progress: Progress | None = None) -> list[PreparedDataset]:
    """Read every dataset and its controls, and label what nearly repeats what: of large ones, that takes a while.

    Raises:
        DataError: bad lines above the declared share, or a control that repeats a member or, unless the policy says
            otherwise, nearly repeats one.
    """
    found = []
    for section in policy.datasets:
        with single(progress or Silent(), f"read {section.name} and its controls"):
            data = prepare_dataset(section, policy.scoring.string_threshold, secret)
        with single(progress or Silent(), f"find near-duplicates in {section.name}"):
            data.sizes()
        found.append(data)
    return found


def prepare_dataset(
    section: DatasetSection, near_duplicate_threshold: float, secret: bytes, most_records: int | None = None
) -> PreparedDataset:
    """Read one dataset with its controls.

    ``most_records``: with more members or controls than this, near-duplicates are left for the run to find.

    Raises:
        DataError: as for ``prepare``.
    """
    members, controls = read_members(section), read_controls(section)
    _refuse_leaky_controls(section, members, controls)
    root = corpus_root(members, secret)
    if most_records is not None and max(len(members.records), len(controls.records)) > most_records:
        return PreparedDataset(section, members, controls, root, near_duplicate_threshold)
    nearness = min(NEAR, near_duplicate_threshold)
    near = near_controls(members, controls, nearness)
    if section.near_controls == "refuse":
        refuse_near_controls(section, members, controls, near)
    elif section.near_controls == "exclude":
        controls = without(controls, near)
    kept = near if section.near_controls == "keep" else ()
    prompts = near_prompts(members, controls, nearness, kept)
    return PreparedDataset(section, members, controls, root, near_duplicate_threshold, len(near), prompts)


def read_members(section: DatasetSection) -> Corpus:
    """The declared dataset."""
    return read_corpus(
        section.path,
        field_map(section.fields),
        dataset=section.name,
        split="member",
        max_bad_share=section.max_bad_share,
        trace=trace_markers(section.trace),
    )


def read_controls(section: DatasetSection) -> Corpus:
    """The controls, an empty corpus where none are declared."""
    if section.controls is None:
        return Corpus(section.name, "control", (), (), 0, {})
    return read_corpus(
        section.controls,
        replace(field_map(section.controls_fields or section.fields), tags=None),  # only what leaks is grouped
        dataset=section.name,
        split="control",
        max_bad_share=section.max_bad_share,
        trace=trace_markers(section.trace),
    )


def field_map(fields: Fields) -> FieldMap:
    """The policy's field names as the corpus room takes them."""
    return FieldMap(**fields.model_dump())


def trace_markers(trace: Trace | None) -> TraceMarkers | None:
    """The policy's trace markers as the corpus room takes them."""
    return TraceMarkers(**trace.model_dump()) if trace else None


def _refuse_leaky_controls(section: DatasetSection, members: Corpus, controls: Corpus) -> None:
    """A control that repeats a member would raise the threshold and hide leaks."""
    overlap = exact_overlap(members, controls)
    if not overlap:
        return
    shown = [(members.records[m], controls.records[c]) for m, c in overlap[:20]]
    problems = [
        Problem(
            Path(c.file), c.line, f"this control of {section.name} repeats the member at {Path(m.file).name}:{m.line}"
        )
        for m, c in shown
    ]
    last = problems[-1]
    more = f"{len(overlap):,} controls repeat members in all; take them out: a control must never have been trained on"
    raise DataError([*problems[:-1], Problem(last.file, last.line, last.message, more)])

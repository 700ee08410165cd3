"""The evidence of one dataset of a finished audit, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auditkit.auditing import generations
from auditkit.auditing.context import Context
from auditkit.auditing.events import EventLog
from auditkit.auditing.evidence import evidence_of
from auditkit.auditing.open_model import OpenModel
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.progress import Silent
from auditkit.auditing.reading_plan import surroundings
from auditkit.auditing.secret import project_secret
from auditkit.lab.resampling import Pool
from auditkit.probes.base import Evidence, ModelProbe, Probe
from auditkit.records import View
from auditkit.report.base import Calibration
from auditkit.scoring.base import Vectors
from auditkit.scoring.strings.best import exact_similarities
from auditkit.scoring.vectors.exact_search import hits_above

if TYPE_CHECKING:
    from auditkit.lab.calibration_run import CalibrationRun

Index = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Probes of texts that are no records of the dataset: they leave no score of each.
OF_NO_RECORD = ("canary_exposure", "last_k_words")


@dataclass(frozen=True)
class ScoreTable:
    """One score a record, as a probe left it: values and which of them are values, members and controls."""

    probe: str
    metric: str
    members: Floats
    members_scored: Flags
    controls: Floats
    controls_scored: Flags


class DatasetRun:
    """One dataset of a finished audit, in its widest view, under the main attack."""

    def __init__(self, run: CalibrationRun, data: PreparedDataset) -> None:
        self.run = run
        self.data = data

    @property
    def label(self) -> str:
        """What the dataset is called in a calibration."""
        return f"{self.run.family}/{self.data.name}" if self.run.family else self.data.name

    @property
    def view(self) -> View:
        """The whole record, or the prompt where that is all there is."""
        return self.data.views[0]

    @cached_property
    def calibration(self) -> Calibration:
        """The threshold that the audit set."""
        found = self.run.report.calibration
        return next(one for one in found if (one.dataset, one.view) == (self.data.name, self.view))

    @cached_property
    def matches(self) -> dict[str, npt.NDArray[Any]]:
        """The columns of the best matches, (generations,) each."""
        import pyarrow.parquet as pq

        path = self.run.folder.matches_file(self.run.attack.label, self.data.name, self.view)
        table = pq.read_table(path)
        return {name: table[name].to_numpy() for name in table.column_names}

    @cached_property
    def coverage(self) -> dict[str, npt.NDArray[Any]]:
        """What the audit kept of coverage: members.NAME and controls.NAME."""
        with np.load(self.run.folder.coverage_file(self.run.attack.label, self.data.name, self.view)) as arrays:
            return dict(arrays)

    @cached_property
    def texts(self) -> list[str]:
        """(generations,) as this dataset sees them."""
        read = generations.read(self.run.folder.generations_file(self.run.attack.label), tokens=False)
        return [text for batch in read for text in self.data.seen_texts(batch, self.view)]

    @cached_property
    def pools(self) -> tuple[Pool, Pool] | None:
        """Which members, and which evaluation controls (by their position among these), each generation reaches.

        None where the audit found no threshold.
        """
        threshold = self.calibration.threshold
        if threshold is None:
            return None
        queries = self._embedded(self.texts)
        members = self._embedded(self.data.members.texts(self.view))
        controls = self._embedded([self.data.controls.texts(self.view)[i] for i in self.data.evaluation])
        return _pool(queries, members, threshold), _pool(queries, controls, threshold)

    def same_incidence(self, clusters: Pool) -> bool:
        """Whether hits that were counted here again are those that the audit counted."""
        counted = np.bincount(clusters.unit, minlength=clusters.units)
        return bool(np.array_equal(counted, self.coverage["members.incidence"]))

    @cached_property
    def evidence(self) -> Evidence | None:
        """What the audit's probes were given; None where the policy has none."""
        run = self.run
        if not run.policy.record_probes or not run.folder.prefixes_file().exists():
            return None
        secret, log = project_secret(run.policy), EventLog(run.folder.events)
        context = Context(run.policy, run.state, [self.data], secret, run=run.folder, log=log, progress=Silent())
        with OpenModel(run.policy.models.candidate, "candidate") as unopened:
            return evidence_of(context, self.data, surroundings(context, unopened))

    @property
    def control_clusters(self) -> Index:
        """(evaluation controls,) their near-duplicate clusters."""
        return self.data.control_clusters[self.data.evaluation]

    def _embedded(self, texts: list[str]) -> Vectors:
        return self.run.policy.scoring.embedder.embed(texts)

    def best_embedding(self) -> ScoreTable:
        """Each record's best embedding score over all generations; of the controls, the evaluation half only."""
        found, evaluation = self.coverage, self.data.evaluation
        controls, scored = np.zeros(len(self.data.controls.records)), np.zeros(len(self.data.controls.records), bool)
        controls[evaluation], scored[evaluation] = found["controls.best_score"], True
        members = found["members.best_score"].astype(np.float64)
        return ScoreTable("extraction", "best_embedding_score", members, np.ones(len(members), bool), controls, scored)

    def nearest_levenshtein(self) -> ScoreTable:
        """Each record's Levenshtein similarity to the generation that is nearest to it by embedding."""
        found, evaluation = self.coverage, self.data.evaluation
        members = self._similarities(self.data.members.texts(self.view), found["members.best_index"])
        texts = [self.data.controls.texts(self.view)[i] for i in evaluation]
        controls, scored = np.zeros(len(self.data.controls.records)), np.zeros(len(self.data.controls.records), bool)
        controls[evaluation], scored[evaluation] = self._similarities(texts, found["controls.best_index"]), True
        return ScoreTable("extraction", "nearest_levenshtein", members, np.ones(len(members), bool), controls, scored)

    def _similarities(self, texts: list[str], nearest: npt.NDArray[Any]) -> Floats:
        return exact_similarities([self.texts[int(i)] for i in nearest], texts, "levenshtein")

    def probe_scores(self) -> Iterator[ScoreTable]:
        """Every score that a probe gave each record."""
        import pyarrow.parquet as pq

        for probe in self.run.policy.record_probes:
            path = self.run.folder.record_scores_file(probe.label, self.data.name)
            if not path.exists():  # it does not fit this dataset, or see without_scores
                continue
            table = pq.read_table(path)
            columns = {name: table[name].to_numpy() for name in table.column_names}
            for metric in dict.fromkeys(columns["metric"].tolist()):
                yield _score_table(probe.label, metric, columns)

    def without_scores(self) -> list[str]:
        """Probes that fit this dataset and score its records, of whose scores there is no file."""
        folder, name = self.run.folder, self.data.name
        return [
            probe.label
            for probe in self.run.policy.record_probes
            if probe.kind not in OF_NO_RECORD
            and self._fitting(probe)
            and not folder.record_scores_file(probe.label, name).exists()
        ]

    def fits(self, kind: str) -> bool:
        """Whether the policy has a probe of this kind that says something of this dataset."""
        return any(probe.kind == kind and self._fitting(probe) for probe in self.run.policy.record_probes)

    def sampled(self, label: str) -> bool:
        """Whether a probe asks the model itself of a few records, whose prompts may all be too long for its context."""
        return any(one.label == label and isinstance(one, ModelProbe) for one in self.run.policy.record_probes)

    def _fitting(self, probe: Probe) -> bool:
        return self.evidence is not None and not probe.not_for(self.evidence)


def _score_table(probe: str, metric: str, columns: dict[str, npt.NDArray[Any]]) -> ScoreTable:
    sides = []
    for split in ("member", "control"):
        rows = (columns["metric"] == metric) & (columns["split"] == split)
        order = np.argsort(columns["index"][rows])
        sides += [columns["value"][rows][order], columns["scored"][rows][order]]
    return ScoreTable(probe, metric, *sides)


def _pool(queries: Vectors, vectors: Vectors, threshold: float) -> Pool:
    found = [(rows, columns) for rows, columns, _ in hits_above(queries, vectors, threshold)]
    empty = np.zeros(0, np.int64)
    rows, columns = (np.concatenate([empty, *(pair[side] for pair in found)]) for side in (0, 1))
    return Pool.of(rows, columns, len(queries), len(vectors))

"""What would be left of a dataset's leak without the first records of its removal list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.auditing.context import Context
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.probing import Probed
from auditkit.auditing.score import Scores
from auditkit.report.removal import RemovalForecast, RemovalPoint
from auditkit.scoring.attribution import Removals
from auditkit.scoring.removal import Predicted, predicted_coverage

Index = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MOST_POINTS = 60  # of the curve in the report; the list in the evidence has a figure for every cluster
MOST_EXACT = 500  # points that are predicted for that list
EXTRACTION = "extraction_probability"


@dataclass(frozen=True)
class DatasetRemoval:
    """How often each cluster of a dataset came out, by all attacks together, and how many controls did."""

    dataset: str
    hits: Index  # (clusters,) generations
    controls_hit: int
    controls: int

    @classmethod
    def of(cls, context: Context, data: PreparedDataset, scores: Scores, listed: Removals) -> DatasetRemoval:
        """From what the attacks of a run reached of a dataset with a threshold, in its first view."""
        keys = [(attack.label, data.name, data.views[0]) for attack in context.policy.prefix_attacks]
        found = [scores.coverage[key] for key in keys]
        members = np.stack([one.members.incidence for one in found]).sum(axis=0, dtype=np.int64)
        members[listed.cluster] = np.maximum(members[listed.cluster], listed.generations)
        controls = np.stack([one.controls.incidence for one in found]).sum(axis=0, dtype=np.int64)
        return cls(data.name, members, int(np.count_nonzero(controls)), len(controls))

    def predicted(self, listed: Removals, upto: Sequence[int]) -> Predicted:
        """After the first so many clusters of the list, for each of ``upto``."""
        gone = [listed.cluster[:count] for count in upto]
        return predicted_coverage(self.hits, gone, self.controls_hit, self.controls)

    def after_each(self, listed: Removals) -> Predicted:
        """After every cluster of the list; of a long one some are predicted, and those between them lie on a line."""
        each = np.arange(1, len(listed.cluster) + 1)
        if not each.size:
            return Predicted(*np.zeros((3, 0)))
        upto = np.unique(np.linspace(1, len(each), min(len(each), MOST_EXACT)).round().astype(np.int64))
        found = self.predicted(listed, [int(count) for count in upto])
        return Predicted(*(np.interp(each, upto, values) for values in (found.coverage, found.low, found.high)))

    def told(self, listed: Removals) -> RemovalForecast:
        """For the report: some points of the curve, the first and the last among them."""
        counts = np.unique(np.linspace(0, len(listed.cluster), MOST_POINTS + 1).round().astype(np.int64))
        after = self.predicted(listed, [int(count) for count in counts])
        records = np.concatenate([[0], np.cumsum(listed.records)])
        points = zip(counts, records[counts], after.coverage, after.low, after.high, strict=True)
        return RemovalForecast(
            dataset=self.dataset,
            clusters=len(self.hits),
            clusters_leaked=int(np.count_nonzero(self.hits)),
            controls=self.controls,
            controls_leaked=self.controls_hit,
            listed=len(listed.cluster),
            points=[
                RemovalPoint(clusters=int(n), records=int(r), coverage=float(c), low=float(low), high=float(high))
                for n, r, c, low, high in points
            ],
        )


def extraction_chance(data: PreparedDataset, probed: Sequence[Probed]) -> Floats:
    """(records,) log10 of the probability of each member to be written out, -inf where no probe read it."""
    chance = np.full(len(data.members.records), -np.inf)
    for one in probed:
        if one.data.name != data.name:
            continue
        for scores in one.result.scores:
            if scores.metric == EXTRACTION:
                known = scores.members.scored
                chance[known] = np.maximum(chance[known], scores.members.values[known])
    return chance

"""The threshold: what score never-trained text does not reach, and on which controls that was found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.scoring.base import Index, Scores
from auditkit.statistics.intervals import clopper_pearson
from auditkit.statistics.power import controls_for_fpr

# Two identical texts score 1 within the rounding of a float32 vector; a threshold up there finds nothing.
HIGHEST_THRESHOLD = 1 - 1e-6


@dataclass(frozen=True)
class ThresholdResult:
    """A threshold, or why there is none.

    ``fpr`` is the share of the distinct calibration controls that reach it, ``fpr_high`` the upper end of its interval.
    """

    threshold: float | None
    fpr: float | None
    fpr_high: float | None
    reason: str


def calibrate(scores: Scores, declared_fpr: float) -> ThresholdResult:
    """The smallest threshold that never-trained texts reach at no more than the declared rate.

    Args:
        scores: (n,) float32 best scores of the calibration controls, as queries against the whole dataset: one of each
            near-duplicate cluster (``best_of_clusters``), since copies are no further evidence.
        declared_fpr: in (0, 1).

    Returns:
        tau such that the upper end of the two-sided 95 % Clopper-Pearson interval of the share of ``scores`` >= tau
        is at most ``declared_fpr``; no smaller float32 number does. None where there are too few controls for that
        rate (368 for 1 %), or where texts that nobody calls leaked would have to be identical to be told apart.
    """
    needed = controls_for_fpr(declared_fpr)
    if len(scores) < needed:
        return _uncalibrated(
            f"uncalibrated: a false-positive rate of {declared_fpr:.3g} needs {needed:,} distinct calibration "
            f"controls, and there are {len(scores):,}"
        )
    tolerated = _most_tolerated(len(scores), declared_fpr)
    # The next score down must stay out, and every score equal to it.
    excluded = np.sort(np.asarray(scores, np.float32))[::-1][tolerated]
    threshold = float(np.nextafter(excluded, np.float32(np.inf)))
    if threshold > HIGHEST_THRESHOLD:
        return _uncalibrated(
            f"uncalibrated: more than {tolerated:,} of {len(scores):,} distinct calibration controls are as near to a "
            "member as identical texts; take out the controls that repeat members, or use a finer embedder"
        )
    reaching = int(np.count_nonzero(scores >= threshold))
    return ThresholdResult(threshold, reaching / len(scores), clopper_pearson(reaching, len(scores))[1], "")


def best_of_clusters(scores: Scores, clusters: npt.ArrayLike) -> Scores:
    """(clusters,) the best score of each near-duplicate cluster, by label from the lowest.

    Args:
        scores: (n,) of the records.
        clusters: (n,) labels; any whole numbers.

    Near-duplicates score alike: taken for independent they would promise a rate that was never shown. The best stands
    for all, so that the threshold keeps every copy out.

    Raises:
        ValueError: as many labels as scores are needed.
    """
    labels = np.asarray(clusters)
    if len(labels) != len(scores):
        raise ValueError("one cluster label for each score")
    if not len(labels):
        return scores
    order = np.argsort(labels, kind="stable")
    starts = np.unique(labels[order], return_index=True)[1]
    best: Scores = np.maximum.reduceat(np.asarray(scores)[order], starts)
    return best


def _uncalibrated(reason: str) -> ThresholdResult:
    return ThresholdResult(None, None, None, reason)


def _most_tolerated(controls: int, declared_fpr: float) -> int:
    """The most controls that may reach the threshold, given that none at all would do."""
    _, highs = clopper_pearson(np.arange(controls + 1), controls)
    return int(np.searchsorted(highs, declared_fpr, side="right")) - 1


def split_controls(ids: Sequence[str], clusters: npt.ArrayLike | None = None) -> tuple[Index, Index]:
    """Two halves of the controls: one sets the threshold, the other is never seen while it is set.

    Args:
        ids: (n,) unique record ids.
        clusters: (n,) labels; controls of one label (duplicates, near-duplicates) stay on one side.

    Returns:
        Calibration and evaluation positions, ascending. The split follows from the ids alone, not from their order,
        and the halves differ by no more than the largest cluster; the odd one goes to calibration.

    Raises:
        ValueError: as many labels as ids are needed.
    """
    labels = np.arange(len(ids)) if clusters is None else np.asarray(clusters)
    if len(labels) != len(ids):
        raise ValueError("one cluster label for each id")
    groups: dict[int, list[int]] = {}
    for position, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(position)
    calibration: list[int] = []
    evaluation: list[int] = []
    for members in sorted(groups.values(), key=lambda group: min(_digest(ids[i]) for i in group)):
        (calibration if len(calibration) <= len(evaluation) else evaluation).extend(members)
    return np.array(sorted(calibration), np.int64), np.array(sorted(evaluation), np.int64)


def _digest(record_id: str) -> bytes:
    return hashlib.sha256(b"auditkit/split\0" + record_id.encode("utf-8", "surrogatepass")).digest()

"""Whether members and controls are of like length, and what the figures are where they are made so."""

from __future__ import annotations

import numpy as np

from auditkit.auditing.prepare import Labels, PreparedDataset
from auditkit.records import View
from auditkit.report.scored import LengthCheck
from auditkit.statistics.length_matching import LengthMatch, match_lengths
from auditkit.statistics.roc import UndefinedError, auc


def length_check(data: PreparedDataset, view: View) -> LengthCheck | None:
    """How well a record's length alone tells a member from a control; None where there are too few to tell.

    Near-duplicates are of one length, more or less: a cluster is what is independent.
    """
    members, controls = lengths(data, view)
    try:
        found = auc(members, controls, data.clusters, data.control_clusters[data.evaluation])
    except UndefinedError:
        return None
    return LengthCheck(
        dataset=data.name,
        view=view,
        auc=found.value,
        low=found.low,
        high=found.high,
        members=float(np.median(members)),
        controls=float(np.median(controls)),
    )


def lengths(data: PreparedDataset, view: View) -> tuple[Labels, Labels]:
    """(members,) and (evaluation controls,) characters of each text."""
    members, controls = (_characters(corpus.texts(view)) for corpus in (data.members, data.controls))
    return members, controls[data.evaluation]


def cluster_match(data: PreparedDataset, view: View) -> LengthMatch:
    """Strata of length of the clusters of both sides, by label from the lowest; a cluster is as long as its first."""
    members, controls = lengths(data, view)
    first = [
        np.unique(labels, return_index=True)[1] for labels in (data.clusters, data.control_clusters[data.evaluation])
    ]
    return match_lengths(members[first[0]], controls[first[1]])


def _characters(texts: list[str]) -> Labels:
    return np.fromiter(map(len, texts), np.int64, len(texts))

"""Members against controls by every score: AUC, ROC, and how often a control is called a member."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auditkit.lab.calibration_dataset import DatasetRun, ScoreTable
from auditkit.lab.calibration_truth import Truth, read_truth
from auditkit.report.instrument import FalsePositives, Group, Ranking
from auditkit.statistics.intervals import clopper_pearson
from auditkit.statistics.roc import FEWEST_FALSE_POSITIVES, UndefinedError, auc, roc_points, tpr_at_fpr

# Where a curve is read off for a table, and the rates that a threshold is set at: the first that the controls allow.
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)

Flags = npt.NDArray[np.bool_]


def score_tables(dataset: DatasetRun) -> Iterator[ScoreTable]:
    """Every score that the audit gave each record, whichever part of it did."""
    yield dataset.best_embedding()
    yield dataset.nearest_levenshtein()
    yield from dataset.probe_scores()


def dataset_truth(dataset: DatasetRun) -> Truth:
    """What is true of its members."""
    return read_truth(Path(dataset.data.section.path), dataset.data.members)


def rankings(dataset: DatasetRun, table: ScoreTable, truth: Truth) -> list[Ranking]:
    """All members against the controls, then those of each number of repeats and each kind of version."""
    everybody = _ranking(dataset, table, "all", "", truth.records)
    return [everybody, *(_ranking(dataset, table, kind, level, chosen) for kind, level, chosen in truth.groups())]


def _ranking(dataset: DatasetRun, table: ScoreTable, kind: Group, level: str, chosen: Flags) -> Ranking:
    kept = chosen & table.members_scored
    members, controls = table.members[kept], table.controls[table.controls_scored]
    clusters = dataset.data.clusters[kept], dataset.data.control_clusters[table.controls_scored]
    found, reason = None, ""
    try:
        found = auc(members, controls, *clusters)
    except UndefinedError as error:
        reason = str(error)
    return Ranking(
        dataset=dataset.label,
        stage=dataset.data.section.stage,
        probe=table.probe,
        metric=table.metric,
        group=kind,
        level=level,
        members=len(members),
        controls=len(controls),
        auc=found.value if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        rates=_rates(members, controls) if found else [],
        reason=reason,
    )


def _rates(members: npt.NDArray[np.float64], controls: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    """The curve at the rates of ``RATES``: the most members found with no more than that share of the controls."""
    fpr, tpr = roc_points(members, controls)
    return [(rate, float(tpr[np.searchsorted(fpr, rate * (1 + 1e-9), side="right") - 1])) for rate in RATES]


def extraction_false_positives(dataset: DatasetRun) -> list[FalsePositives]:
    """At the calibrated threshold: controls as queries, generations that reach a control, controls reached by any."""
    calibration, matches, coverage = dataset.calibration, dataset.matches, dataset.coverage
    if calibration.threshold is None or not len(dataset.data.evaluation):
        return []
    complete = matches["complete"]
    reaching = complete & (matches["control_score"] >= calibration.threshold)
    found = complete & (matches["score"] >= calibration.threshold)
    held_out = dataset.data.sizes().evaluation_controls  # distinct, as the rate is
    queries = round((calibration.evaluation_fpr or 0.0) * held_out)
    members_hit = coverage["members.incidence"] > 0
    controls_hit = coverage["controls.incidence"] > 0
    name, nominal = dataset.label, calibration.declared_fpr
    return [
        _false_positives(name, "evaluation controls as queries", nominal, queries, held_out),
        _false_positives(
            name,
            "generations that reach an evaluation control",
            None,
            int(reaching.sum()),
            int(complete.sum()),
            _share(found.sum(), complete.sum()),
        ),
        _false_positives(
            name,
            "evaluation controls reached by a generation",
            None,
            int(controls_hit.sum()),
            len(controls_hit),
            float(members_hit.mean()),
        ),
    ]


def score_false_positives(dataset: DatasetRun, table: ScoreTable) -> FalsePositives | None:
    """A threshold set on the calibration half of the controls, tried on the other half.

    None where this half of the controls is too small for any of ``RATES``, or has no scores: those that only the
    evaluation half has are no use here.
    """
    setting, trying = dataset.data.calibration, dataset.data.evaluation
    to_set = table.controls[setting][table.controls_scored[setting]]
    to_try = table.controls[trying][table.controls_scored[trying]]
    members = table.members[table.members_scored]
    rate = next((rate for rate in RATES if rate * len(to_set) >= FEWEST_FALSE_POSITIVES), None)
    if rate is None or not len(to_try) or not len(members):
        return None
    threshold = tpr_at_fpr(members, to_set, rate).threshold
    hits = int(np.count_nonzero(to_try > threshold))
    found = float(np.mean(members > threshold))
    row = _false_positives(dataset.label, table.metric, rate, hits, len(to_try), found)
    set_hits = int(np.count_nonzero(to_set > threshold))
    return row.model_copy(update={"set_on": len(to_set), "set_hits": set_hits})


def _false_positives(  # noqa: PLR0917 -- a row of a table
    dataset: str, what: str, nominal: float | None, hits: int, trials: int, found: float | None = None
) -> FalsePositives:
    low, high = clopper_pearson(hits, trials)
    return FalsePositives(
        dataset=dataset,
        what=what,
        nominal=nominal,
        hits=hits,
        trials=trials,
        rate=_share(hits, trials) or 0.0,
        low=low,
        high=high,
        found=found,
    )


def _share(hits: float, trials: float) -> float | None:
    return float(hits / trials) if trials else None

"""Calibration of one view of one dataset: the threshold, and whether the instrument would see a leak at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.auditing.sides import Sides
from auditkit.policy.schema import CalibrateFpr, Policy
from auditkit.report.base import Calibration, IndexInfo, PositiveControl
from auditkit.report.rule_words import altered_words
from auditkit.scoring.base import IndexUse, Scores
from auditkit.scoring.calibration import best_of_clusters, calibrate
from auditkit.scoring.positive_controls import (
    INFORMATIONAL_VARIANTS,
    LEAST_QUERIES,
    REQUIRED_VARIANTS,
    altered_texts,
    chosen_members,
    vocabulary_of,
)
from auditkit.scoring.vectors.device_search import exact_search
from auditkit.scoring.vectors.exact_search import added, exact_best
from auditkit.statistics.intervals import clopper_pearson

LEAST_SENSITIVITY = 0.8
MOST_CONTROLS_REACHING = 0.05  # of a threshold that the policy fixes


@dataclass(frozen=True)
class DatasetCalibration:
    """The threshold of one view of one dataset with everything that speaks for or against it."""

    calibration: Calibration
    positive_controls: list[PositiveControl]
    index: IndexInfo
    fixed_doubt: str = ""  # why a threshold that the policy fixes means nothing here
    evaluation_doubt: str = ""  # why a threshold that was calibrated does not do what it was set for

    @property
    def threshold(self) -> float | None:
        """The score from which a match counts; None where uncalibrated."""
        return self.calibration.threshold

    @property
    def doubts(self) -> list[str]:
        """Why no verdict on this dataset can be better than inconclusive."""
        found = [f"{self.calibration.dataset}: {self.calibration.reason}."] if self.threshold is None else []
        found += [doubt for doubt in (self.fixed_doubt, self.evaluation_doubt) if doubt]
        for control in self.positive_controls:
            if control.required and control.tpr < LEAST_SENSITIVITY:
                found.append(
                    f"{control.dataset} ({control.view} view): of members {altered_words(control.variant)}, only "
                    f"{control.tpr:.0%} are found at the threshold; a leak of that kind could stay unseen."
                )
        return found


def calibrate_dataset(policy: Policy, sides: Sides) -> DatasetCalibration:
    """Set or check the threshold on the controls, then try it on members altered in known ways."""
    null, use = _null_scores(sides)
    calibration = _calibration(policy, sides, null)
    positives = _positive_controls(policy, sides, calibration.threshold)
    index = IndexInfo(
        dataset=sides.dataset.name,
        view=sides.view,
        kind=use.kind,
        recall_at_1=use.recall_at_1,
        queries=use.queries,
        reason=use.reason,
    )
    distinct = best_of_clusters(null, sides.dataset.control_clusters)
    return DatasetCalibration(
        calibration,
        positives,
        index,
        _fixed_doubt(policy, calibration, distinct),
        _evaluation_doubt(calibration, _distinct(sides, null, sides.dataset.evaluation)),
    )


def _null_scores(sides: Sides) -> tuple[Scores, IndexUse]:
    """The null: each control as a query against the whole of the dataset.

    Exact whatever the policy's index: a missed neighbour would lower the threshold, and controls are few.
    """
    reason = "every control was compared with every record"
    search = exact_search(sides.members, len(sides.controls), nearest_queries=False, reason=reason)
    _, scores = added(search, sides.controls)
    return scores, search.use


def _distinct(sides: Sides, null: Scores, half: npt.NDArray[np.int64]) -> Scores:
    """One score for each near-duplicate cluster of these controls."""
    return best_of_clusters(null[half], sides.dataset.control_clusters[half])


def _calibration(policy: Policy, sides: Sides, null: Scores) -> Calibration:
    setting = policy.scoring.semantic_threshold
    to_set, to_evaluate = (_distinct(sides, null, half) for half in sides.dataset.control_halves)
    declared, reason = None, ""
    if isinstance(setting, CalibrateFpr):
        found = calibrate(to_set, setting.calibrate_fpr)
        threshold, reason, declared = found.threshold, found.reason, setting.calibrate_fpr
        source = "calibrated" if threshold is not None else "uncalibrated"
    else:
        threshold, source = setting, "policy"
        reason = _fixed_threshold_note(policy, null, setting)
    fpr, fpr_high = _share_reaching(to_set, threshold)
    evaluation_fpr, evaluation_high = _share_reaching(to_evaluate, threshold)
    return Calibration(
        dataset=sides.dataset.name,
        view=sides.view,
        embedder=policy.scoring.embedder.kind,
        threshold=threshold,
        source=source,
        declared_fpr=declared,
        fpr=fpr,
        fpr_high=fpr_high,
        evaluation_fpr=evaluation_fpr,
        evaluation_fpr_high=evaluation_high,
        controls=len(null),
        reason=reason,
    )


def _fixed_threshold_note(policy: Policy, null: Scores, threshold: float) -> str:
    """A number in the policy is only as good as where it comes from."""
    if not fixed_for_another(policy):
        return "the threshold that was published for this embedder"
    if not len(null):
        return "fixed by the policy, and no controls say what it means for this embedder"
    reaching = int((null >= threshold).sum())
    return f"fixed by the policy, not published for this embedder; {reaching:,} of {len(null):,} controls reach it"


def _fixed_doubt(policy: Policy, calibration: Calibration, null: Scores) -> str:
    """Whether the controls leave a fixed threshold without a meaning; without controls, a doubt of its own says so."""
    threshold = calibration.threshold
    if calibration.source != "policy" or threshold is None or not len(null):
        return ""
    of = f"{calibration.dataset} ({calibration.view})"
    share = max(calibration.fpr or 0.0, calibration.evaluation_fpr or 0.0)
    if share > MOST_CONTROLS_REACHING:
        return (
            f"{of}: {share:.0%} of the distinct controls reach the threshold that the policy fixes: what reaches it "
            "tells no leak from chance."
        )
    reaching = int((null >= threshold).sum())
    if fixed_for_another(policy) and clopper_pearson(reaching, len(null))[1] > MOST_CONTROLS_REACHING:
        return (
            f"{of}: the policy fixes a threshold that was not published for the embedder {calibration.embedder}, and "
            f"{len(null):,} distinct controls, of which {reaching:,} reach it, are too few to show that no more than "
            f"{MOST_CONTROLS_REACHING:.0%} of never-trained texts do. Calibrate it, or give more controls."
        )
    return ""


def _evaluation_doubt(calibration: Calibration, null: Scores) -> str:
    """Whether the half that did not set a calibrated threshold shows more false positives than it was set for."""
    if calibration.threshold is None or calibration.declared_fpr is None or not len(null):
        return ""
    reaching = int((null >= calibration.threshold).sum())
    low = clopper_pearson(reaching, len(null))[0]
    if low <= calibration.declared_fpr:
        return ""
    return (
        f"{calibration.dataset} ({calibration.view}): {reaching:,} of the {len(null):,} distinct evaluation controls "
        f"reach the threshold, which was set for a false-positive rate of {calibration.declared_fpr:g}: the two halves "
        "of the controls are not alike."
    )


def fixed_for_another(policy: Policy) -> bool:
    """Whether the policy fixes a threshold that nobody published for its embedder: 0.95 belongs to another one."""
    setting = policy.scoring.semantic_threshold
    return not isinstance(setting, CalibrateFpr) and setting != policy.scoring.embedder.published_threshold


def _share_reaching(scores: Scores, threshold: float | None) -> tuple[float | None, float | None]:
    """The share at or above the threshold, with the upper end of its interval."""
    if threshold is None or not len(scores):
        return None, None
    reaching = int((scores >= threshold).sum())
    return reaching / len(scores), float(clopper_pearson(reaching, len(scores))[1])


def _positive_controls(policy: Policy, sides: Sides, threshold: float | None) -> list[PositiveControl]:
    if threshold is None:
        return []
    corpus, view = sides.dataset.members, sides.view
    records = [corpus.records[i] for i in chosen_members(len(corpus.records), policy.seed)]
    words = vocabulary_of(corpus.texts(view))
    variants = (*REQUIRED_VARIANTS, *INFORMATIONAL_VARIANTS)
    altered = {variant: altered_texts(variant, records, view, policy.seed, words) for variant in variants}
    # An alteration that hardly any record admits (no numbers to change) says nothing of the instrument.
    least = min(LEAST_QUERIES, len(records))
    return [
        _try_variant(sides, threshold, variant, queries)
        for variant, queries in altered.items()
        if len(queries) >= least
    ]


def _try_variant(sides: Sides, threshold: float, variant: str, queries: list[str]) -> PositiveControl:
    """One kind of alteration: the share of altered members whose best match reaches the threshold."""
    vectors = sides.embed(queries)
    _, scores = exact_best(vectors, sides.members)
    hits = int((scores >= threshold).sum())
    low, high = clopper_pearson(hits, len(queries))
    return PositiveControl(
        dataset=sides.dataset.name,
        view=sides.view,
        variant=variant,
        tpr=hits / len(queries),
        low=low,
        high=high,
        queries=len(queries),
        required=variant in REQUIRED_VARIANTS,
    )

"""How much of a record comes out in one piece: ``longest_match`` over the generations that reach the threshold."""

from __future__ import annotations

import math

import numpy as np

from auditkit.auditing.context import Context
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.score import Scores
from auditkit.auditing.texts import chosen_texts
from auditkit.records import Estimate
from auditkit.scoring.base import Index
from auditkit.scoring.metrics import UNCALIBRATED, Scope
from auditkit.scoring.strings.spans import longest_run
from auditkit.statistics.means import share_interval

MOST = 2000  # generations of one attack and dataset whose runs are worked out
METHOD = "mean over the generations that reach the threshold, each against its best match; empirical Bernstein"
NONE_REACHED = "no scored generation reaches the threshold"


def longest_matches(context: Context, scores: Scores) -> list[Estimate]:
    """One estimate a dataset and attack, in the dataset's first view."""
    return [
        _longest_match(context, data, attack.label, scores)
        for data in context.datasets
        for attack in context.policy.prefix_attacks
    ]


def _longest_match(context: Context, data: PreparedDataset, attack: str, scores: Scores) -> Estimate:
    view = data.views[0]
    matches, threshold = scores.matches[attack, data.name, view], scores.calibrations[data.name, view].threshold
    scope = Scope(data.name, attack, view)
    if threshold is None:
        return scope.undefined("longest_match", METHOD, UNCALIBRATED, matches.unscored)
    reached = np.flatnonzero(matches.complete & (matches.record >= 0) & (matches.score >= threshold))
    chosen = _sample(reached, context.policy.seed)
    texts = chosen_texts(context.run, attack, data, view, matches.ordinal[chosen])
    records = [data.members.records[int(index)].view(view) for index in matches.record[chosen]]
    generations = [texts[int(ordinal)] for ordinal in matches.ordinal[chosen]]
    found = [longest_run(record, generation).share for record, generation in zip(records, generations, strict=True)]
    shares = [share for share in found if share is not None]
    if not shares:
        return scope.undefined("longest_match", METHOD, NONE_REACHED, matches.unscored)
    total = math.fsum(shares)
    method = METHOD if len(chosen) == len(reached) else f"{METHOD}; {MOST:,} of {len(reached):,}, drawn at random"
    return scope.estimate(
        "longest_match",
        total / len(shares),
        *share_interval(shares),
        method=method,
        numerator=total,
        denominator=float(len(shares)),
        unscored=matches.unscored,
    )


def _sample(reached: Index, seed: int) -> Index:
    """At most MOST of them, the same in every run of the same policy."""
    if len(reached) <= MOST:
        return reached
    return np.sort(np.random.default_rng([seed, 0x6C6F6E67]).choice(reached, size=MOST, replace=False))

"""Every figure of an arm: the metrics of METRICS applied to what the scoring stage found."""

from __future__ import annotations

from collections.abc import Iterator

from auditkit.auditing.lengths import cluster_match, lengths
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.score import Scores
from auditkit.policy.schema import Policy
from auditkit.records import Estimate, View
from auditkit.scoring import metrics
from auditkit.scoring.length_matched import length_matched_coverage, length_matched_semantic_rate
from auditkit.scoring.metrics import Scope
from auditkit.scoring.strings.pairs import reaches
from auditkit.statistics.length_matching import match_lengths


def estimates(policy: Policy, datasets: list[PreparedDataset], scores: Scores) -> list[Estimate]:
    """All estimates, dataset by dataset, view by view, attack by attack."""
    return [
        estimate
        for data in datasets
        for view in data.views
        for attack in policy.prefix_attacks
        for estimate in (
            *_of_attack(policy, data.name, attack.label, view, scores),
            *_length_matched(data, attack.label, view, scores),
        )
    ]


def _of_attack(policy: Policy, dataset: str, attack: str, view: View, scores: Scores) -> Iterator[Estimate]:
    scope = Scope(dataset, attack, view)
    matches, coverage = scores.matches[attack, dataset, view], scores.coverage[attack, dataset, view]
    threshold = scores.calibrations[dataset, view].threshold
    string_threshold = policy.scoring.string_threshold
    yield metrics.adjusted_coverage_estimate(scope, coverage.members, coverage.controls)
    yield metrics.coverage_estimate(scope, coverage.members)
    yield metrics.adjusted_semantic_rate(scope, coverage.members, coverage.controls)
    yield metrics.semantic_memorisation_rate(scope, matches.score, matches.complete, threshold)
    yield metrics.string_memorisation_rate(scope, matches.levenshtein, matches.complete, threshold=string_threshold)
    yield metrics.string_memorisation_rate(scope, matches.indel, matches.complete, "indel", string_threshold)
    if threshold is not None:
        semantic, string = matches.score >= threshold, reaches(matches.levenshtein, string_threshold)
        yield metrics.undercount_ratio(scope, semantic, string, matches.complete)
    yield from _gain_over_bos(policy, scope, scores)


def _length_matched(data: PreparedDataset, attack: str, view: View, scores: Scores) -> Iterator[Estimate]:
    """Of the first view, members and controls made of like length."""
    scope = Scope(data.name, attack, view)
    hits = scores.thresholds.get((attack, data.name, view))
    if hits is None:
        return
    threshold = scores.calibrations[data.name, view].threshold
    coverage = scores.coverage[attack, data.name, view]
    drawn = match_lengths(*lengths(data, view))
    yield length_matched_semantic_rate(scope, hits.by_length, threshold, hits.by_length.unscored, drawn)
    yield length_matched_coverage(scope, coverage.members, coverage.controls, cluster_match(data, view))


def _gain_over_bos(policy: Policy, scope: Scope, scores: Scores) -> Iterator[Estimate]:
    """What the template prefix adds to BOS alone, where the policy runs both."""
    kinds = {attack.label: attack.kind for attack in policy.prefix_attacks}
    baseline = next((name for name, kind in kinds.items() if kind == "bos_prefix"), None)
    if baseline is None or kinds[scope.attack] == "bos_prefix":
        return
    ours = scores.matches[scope.attack, scope.dataset, scope.view]
    bos = scores.matches[baseline, scope.dataset, scope.view]
    yield metrics.prefix_gain(scope, ours.score, ours.complete, bos.score, bos.complete)

"""From scores to the report as data: estimates, verdict, findings, figures."""

from __future__ import annotations

from dataclasses import asdict
from functools import reduce
from typing import Any

from auditkit.auditing import figures
from auditkit.auditing.attack_info import attack_info
from auditkit.auditing.attribution import attribution
from auditkit.auditing.context import Context
from auditkit.auditing.doubts import doubts
from auditkit.auditing.estimates import estimates
from auditkit.auditing.findings import findings
from auditkit.auditing.forecasts import forecasts
from auditkit.auditing.lengths import length_check
from auditkit.auditing.limits import limits
from auditkit.auditing.longest import longest_matches
from auditkit.auditing.probing import Probed, probe_report
from auditkit.auditing.provenance import provenance
from auditkit.auditing.publish import signature_info
from auditkit.auditing.score import Scores
from auditkit.policy.gate import evaluate
from auditkit.policy.power import powers
from auditkit.policy.schema import Policy
from auditkit.records import View
from auditkit.report.base import (
    Arm,
    AuditReport,
    CoverageCurve,
    Figures,
    IndexInfo,
    PolicyInfo,
    ReleaseInfo,
    RunInfo,
)
from auditkit.report.instrument import shipped_calibration
from auditkit.scoring.base import IndexUse
from auditkit.scoring.coverage import curve_points


def assemble(context: Context, scores: Scores, probed: list[Probed], info: RunInfo) -> AuditReport:
    """The whole report. Everything but ``info`` is the same for the same policy, data, model and seeds."""
    policy, datasets = context.policy, context.datasets
    found = [*estimates(policy, datasets, scores), *(figure for one in probed for figure in one.result.estimates)]
    found += longest_matches(context, scores)
    arm = Arm(name="baseline", mitigation=None, attacker=_attacker(policy), estimates=found)
    views = {data.name: data.views for data in datasets}
    leaked = findings(context, scores)
    return AuditReport(
        run=info,
        seed=policy.seed,
        policy=_policy_info(context),
        release=ReleaseInfo(**policy.release.model_dump()),
        signature=signature_info(policy),
        provenance=_provenance(policy),
        models=context.state.models,
        datasets=[data.info() for data in datasets],
        attacks=[attack_info(attack, context.run) for attack in policy.prefix_attacks],
        calibration=[found.calibration for found in scores.calibrations.values()],
        positive_controls=[control for found in scores.calibrations.values() for control in found.positive_controls],
        arms=[arm],
        findings=leaked.shown,
        findings_total=leaked.total,
        index=[_index(key, scores) for key in scores.calibrations],
        probes=[probe_report(context, one) for one in probed],
        figures=_figures(context, scores),
        thresholds=[curve for key, hits in scores.thresholds.items() for curve in hits.curves(*key)],
        forecasts=forecasts(policy, datasets, scores),
        lengths=[check for data in datasets if (check := length_check(data, data.views[0]))],
        near_duplicates=[data.near_duplicates() for data in datasets],
        powers=powers(policy, {data.name: data.sizes() for data in datasets}),
        attribution=attribution(context, scores),
        instrument=shipped_calibration(),
        limits=limits(policy, datasets),
        verdict=evaluate(policy, [arm], views, doubts(policy, datasets, scores)),
    )


def _attacker(policy: Policy) -> str:
    """The attacks prompt with token ids of their choice: that takes the weights, whatever the release."""
    return "open_weights" if policy.release.access == "open-weights" else "open_weights, as an upper bound for api"


def _policy_info(context: Context) -> PolicyInfo:
    state = context.state
    return PolicyInfo(
        name=context.policy.name,
        sha256=state.policy_sha256,
        preset=state.preset,
        weaker_than_preset=state.weaker_than_preset,
        text=state.lock,
    )


def _provenance(policy: Policy) -> dict[str, Any]:
    declared = {"candidate": policy.models.candidate, "base": policy.models.base}
    models = {role: backend.provenance() for role, backend in declared.items() if backend is not None}
    return {**provenance(), "models": models}


def _figures(context: Context, scores: Scores) -> Figures:
    """One set of figures a dataset and attack, in the dataset's first view."""
    made = Figures(histograms=[], scatters=[], coverage_curves=[], bands=[])
    for data in context.datasets:
        view = data.views[0]
        threshold = scores.calibrations[data.name, view].threshold
        for attack in context.policy.prefix_attacks:
            key = (attack.label, data.name, view)
            matches = scores.matches[key]
            sample = figures.draw_sample(context, data, matches)
            made.histograms.extend(figures.histograms(data, matches, sample))
            if attack.kind != "bos_prefix":
                made.scatters.append(figures.scatter(matches, sample, threshold))
                made.bands.extend(figures.bands(context, data, matches))
                made.coverage_curves.append(_curve(key, scores))
    return made


def _index(key: tuple[str, View], scores: Scores) -> IndexInfo:
    """The search that missed most: of the calibration's null, and of every attack's generations."""
    calibrated = scores.calibrations[key].index
    uses = [found.index for (_, *of), found in scores.matches.items() if tuple(of) == key]
    worst = reduce(IndexUse.worse, uses)
    if not worst.misses and calibrated.recall_at_1 < worst.recall_at_1:
        return calibrated
    return calibrated.model_copy(update=asdict(worst))


def _curve(key: tuple[str, str, Any], scores: Scores) -> CoverageCurve:
    side = scores.coverage[key]
    points = curve_points(side.members.generations)
    return CoverageCurve(
        attack=key[0],
        dataset=key[1],
        view=key[2],
        generations=[int(point) for point in points],
        members=[float(share) for share in side.members.curve(points)],
        controls=[float(share) for share in side.controls.curve(points)],
    )

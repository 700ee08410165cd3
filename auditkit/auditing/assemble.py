"""From scores to the report as data: estimates, verdict, findings, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import reduce
from typing import Any

from auditkit.auditing import figures
from auditkit.auditing.arm_doubts import with_leaking_arms
from auditkit.auditing.arms import all_changes
from auditkit.auditing.attack_info import attack_info
from auditkit.auditing.attribution import attribution
from auditkit.auditing.context import Context
from auditkit.auditing.findings import findings
from auditkit.auditing.forecasts import forecasts
from auditkit.auditing.history import history
from auditkit.auditing.lengths import length_check
from auditkit.auditing.limits import limits
from auditkit.auditing.measured import Measured
from auditkit.auditing.places import placed, repository_root, seen_from
from auditkit.auditing.probing import probe_report
from auditkit.auditing.provenance import provenance
from auditkit.auditing.publish import signature_info
from auditkit.auditing.score import Scores
from auditkit.auditing.spending import served_facts
from auditkit.auditing.viability import most_accepted
from auditkit.auditing.waiving import leaked_clusters, marked, weigh
from auditkit.auditing.worth import Valued
from auditkit.auditing.worth_filter import judge_facts
from auditkit.auditing.worth_report import worth_report
from auditkit.policy.gate import evaluate, verdict_on
from auditkit.policy.power import powers
from auditkit.policy.schema import Policy
from auditkit.records import View
from auditkit.report.arms import Mitigations
from auditkit.report.base import (
    AuditReport,
    CoverageCurve,
    Figures,
    IndexInfo,
    PolicyInfo,
    ReleaseInfo,
    RunInfo,
)
from auditkit.report.instrument import shipped_calibration
from auditkit.report.recommendation import recommend
from auditkit.scoring.base import IndexUse
from auditkit.scoring.coverage import curve_points


def assemble(
    context: Context, baseline: Measured, arms: Sequence[Measured], info: RunInfo, worth: Valued | None = None
) -> AuditReport:
    """The whole report. For the same policy, data, model and seeds all is the same but ``info`` and what came before.

    Evidence and figures are those of the arm that ships, or the baseline's where that could not be measured.
    """
    policy, datasets = context.policy, context.datasets
    views = {data.name: data.views for data in datasets}
    baseline = with_leaking_arms(baseline, arms, views)
    every = [baseline, *arms]
    shipping = next(one for one in every if one.arm.name == policy.release.arm)
    shown = baseline if shipping.scores is None or shipping.arm.meaningless else shipping
    inside, scores, probed = shown.context, shown.scores, shown.probed or baseline.probed
    assert scores is not None
    leaked = findings(inside, scores)
    judged = [one.judged for one in every]
    signature = signature_info(policy)
    unwaived = evaluate(policy, judged, views)
    weighed = weigh(context, unwaived, leaked_clusters(inside, scores), info.finished, signature.key_id)
    registration, earlier = history(context)
    return AuditReport(
        run=info,
        seed=policy.seed,
        policy=_policy_info(context),
        release=ReleaseInfo(**policy.release.model_dump()),
        signature=signature,
        provenance=_provenance(context),
        models=context.state.models,
        datasets=[placed(data.info(), data.section, policy) for data in datasets],
        attacks=[attack_info(attack, inside.run) for attack in inside.policy.prefix_attacks],
        calibration=[found.calibration for found in scores.calibrations.values()],
        positive_controls=[control for found in scores.calibrations.values() for control in found.positive_controls],
        arms=[one.arm for one in every],
        findings=marked(inside, leaked.shown, weighed.declared),
        findings_total=leaked.total,
        index=[_index(key, scores) for key in scores.calibrations],
        probes=[probe_report(inside if shown.probed else context, one) for one in probed],
        figures=_figures(inside, scores),
        thresholds=[curve for key, hits in scores.thresholds.items() for curve in hits.curves(*key)],
        forecasts=forecasts(inside.policy, datasets, scores),
        lengths=[check for data in datasets if (check := length_check(data, data.views[0]))],
        near_duplicates=[data.near_duplicates() for data in datasets],
        powers=powers(policy, {data.name: data.sizes() for data in datasets}),
        attribution=attribution(inside, scores),
        instrument=shipped_calibration(),
        mitigations=_mitigations(policy, baseline, arms, views) if arms else None,
        worth=worth_report(worth) if worth else None,
        limits=limits(policy, datasets),
        registration=registration,
        earlier_runs=earlier,
        verdict=weighed.verdict,
        waivers=weighed.declared,
        waiver_file=weighed.file,
    )


def _mitigations(
    policy: Policy, baseline: Measured, arms: Sequence[Measured], views: dict[str, tuple[View, ...]]
) -> Mitigations:
    """What each arm changes, and what follows from it."""
    changes = list(all_changes(baseline, arms, policy.seed))
    every = [baseline, *arms]
    outcomes = {one.arm.name: verdict_on(policy, one.judged, baseline.judged, views).outcome for one in every}
    found = recommend([one.arm for one in every], changes, outcomes)
    return Mitigations(
        attacker=policy.release.attacker,
        changes=changes,
        recommendation=found,
        gate=outcomes,
        most=most_accepted(policy.utility, {e.metric for one in arms for e in one.arm.utility}),
    )


def _policy_info(context: Context) -> PolicyInfo:
    state = context.state
    return PolicyInfo(
        name=context.policy.name,
        sha256=state.policy_sha256,
        preset=state.preset,
        weaker_than_preset=state.weaker_than_preset,
        text=state.lock,
        file=seen_from(repository_root(context.policy), context.policy.source.file) or "",
    )


def _provenance(context: Context) -> dict[str, Any]:
    """What the run was made with; every engine that did a part of it, where one but this process did."""
    declared = {"candidate": context.policy.models.candidate, "base": context.policy.models.base}
    models = {
        role: {**backend.provenance(), **served_facts(context, role)}
        for role, backend in declared.items()
        if backend is not None
    }
    hidden = ("time", "event", "prev")
    if context.policy.worth and (judge := context.policy.worth.filter.judge):
        models["judge"] = judge_facts(context, judge)
    told = [{key: fact for key, fact in event.items() if key not in hidden} for event in context.log.recorded("engine")]
    engines = [one for number, one in enumerate(told) if one not in told[:number]]
    return {**provenance(), "models": models, **({"engines": engines} if engines else {})}


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

"""Everything that is measured on one dataset of a calibration run, gathered dataset by dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from auditkit.auditing.open_model import OpenModel
from auditkit.errors import AuditkitError
from auditkit.lab.calibration_checks import Missing, words
from auditkit.lab.calibration_dataset import DatasetRun, ScoreTable
from auditkit.lab.calibration_extraction import extraction_interval_checks, extraction_of, extraction_tests
from auditkit.lab.calibration_rankings import (
    dataset_truth,
    extraction_false_positives,
    rankings,
    score_false_positives,
    score_tables,
)
from auditkit.lab.calibration_steps import step_check
from auditkit.lab.calibration_truth import ORIGINAL
from auditkit.lab.resampled_forecasts import forecast_checks
from auditkit.lab.resampled_intervals import (
    FEWEST_RUNS,
    Plan,
    TwoSides,
    adjusted_coverage_check,
    adjusted_rate_check,
    coverage_check,
    rate_check,
    undefined,
)
from auditkit.lab.resampled_records import auc_check, shift_checks
from auditkit.report.instrument import (
    ExtractionBin,
    ExtractionTest,
    FalsePositives,
    ForecastCheck,
    IntervalCheck,
    Ranking,
    StepCheck,
    Undercount,
)
from auditkit.scoring.strings.pairs import reaches

Flags = npt.NDArray[np.bool_]

SAMPLES = 20_000
RUNS = 1000
EXTRACTION = "extraction_probability"
# Runs that a resampled run may be: a quick look, an ordinary one, one as long as the pool itself.
PARTS = (20, 4, 1)
COVERAGE_METRICS = ("coverage", "adjusted_coverage", "adjusted_semantic_rate")


@dataclass(frozen=True)
class Options:
    """How thoroughly: generations of the main attack, resampled runs, seed of the resampling."""

    samples: int = SAMPLES
    runs: int = RUNS
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises AuditkitError where fewer runs could not tell 92 from 98 %."""
        if self.runs < FEWEST_RUNS:
            raise AuditkitError(f"{self.runs} resampled runs tell too little", f"--runs {FEWEST_RUNS} or more")
        if self.samples < 1:
            raise AuditkitError("there must be at least one sample", f"--samples {SAMPLES}")


@dataclass
class Found:
    """What is gathered dataset by dataset."""

    rankings: list[Ranking] = field(default_factory=list)
    false_positives: list[FalsePositives] = field(default_factory=list)
    intervals: list[IntervalCheck] = field(default_factory=list)
    forecasts: list[ForecastCheck] = field(default_factory=list)
    extraction_bins: list[ExtractionBin] = field(default_factory=list)
    extraction_tests: list[ExtractionTest] = field(default_factory=list)
    steps: list[StepCheck] = field(default_factory=list)
    undercounts: list[Undercount] = field(default_factory=list)
    near_versions: list[str] = field(default_factory=list)
    agrees: list[tuple[str, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    read_exactly: list[str] = field(default_factory=list)

    @property
    def lacking(self) -> list[Missing]:
        """What is missing of each dataset, and what could be tested on none of them."""
        untested = bool(self.read_exactly) and not self.extraction_tests
        why = f"no extraction is expected on {', '.join(self.read_exactly)}"
        return [*self.missing, *([Missing("predicted against observed extractions", why)] if untested else [])]


def look_at(dataset: DatasetRun, candidate: OpenModel, found: Found, options: Options) -> None:
    truth = dataset_truth(dataset)
    if np.mean(truth.variants != ORIGINAL) > 0.5:
        found.near_versions.append(dataset.label)
    found.undercounts.append(_undercount(dataset))
    found.false_positives += extraction_false_positives(dataset)
    found.missing += _missing(dataset)
    for table in score_tables(dataset):
        found.rankings += rankings(dataset, table, truth)
        _try_score(dataset, table, found, options)
    found.intervals += shift_checks(dataset, _records_plan(options))
    _resample(dataset, found, options)
    _extraction(dataset, candidate, found, options)


def _missing(dataset: DatasetRun) -> list[Missing]:
    """Evidence that the policy's probes should have left of this dataset."""
    why = "the run's folder lacks {}"
    if dataset.run.policy.record_probes and dataset.evidence is None:
        return [Missing(f"evidence of the probes on {dataset.label}", why.format("prefixes.json"))]
    return [
        Missing(f"scores of {words(probe)} on {dataset.label}", why.format("its scores"))
        for probe in dataset.without_scores()
    ]


def _try_score(dataset: DatasetRun, table: ScoreTable, found: Found, options: Options) -> None:
    name = f"{words(table.metric)} on {dataset.label}"
    if dataset.sampled(table.probe) and not (table.members_scored.any() and table.controls_scored.any()):
        found.notes.append(f"Nothing is known of {name}: none of the records that were drawn for it could be scored.")
        return
    if row := score_false_positives(dataset, table):
        found.false_positives.append(row)
    elif table.probe != "extraction":
        found.notes.append(f"Too few controls to set a threshold of {name} on one half and try it on the other.")
    found.intervals.append(auc_check(dataset, table, _records_plan(options)))


def _resample(dataset: DatasetRun, found: Found, options: Options) -> None:
    """Rates, coverage and forecasts, each at a few lengths of a run."""
    name, matches = dataset.label, dataset.matches
    complete = matches["complete"]
    plans = [_plan(dataset, options, part) for part in PARTS]
    string = reaches(matches["levenshtein"], dataset.run.policy.scoring.string_threshold)
    found.intervals += [rate_check("string_memorisation_rate", name, string, complete, plan) for plan in plans]
    threshold, pools = dataset.calibration.threshold, dataset.pools
    if threshold is None or pools is None:
        metrics = ("semantic_memorisation_rate", *COVERAGE_METRICS)
        found.intervals += [undefined(metric, name, plans[0], dataset.calibration.reason) for metric in metrics]
        found.notes.append(f"Nothing could be said of coverage on {name}: {dataset.calibration.reason}.")
        return
    semantic = matches["score"] >= threshold
    found.intervals += [rate_check("semantic_memorisation_rate", name, semantic, complete, plan) for plan in plans]
    sides = TwoSides(*pools, dataset.data.clusters, dataset.control_clusters)
    clusters = sides.members.grouped(sides.member_clusters)
    found.agrees.append((name, dataset.same_incidence(clusters)))
    for plan in plans:
        found.intervals += _coverage_checks(name, sides, complete, plan)
        found.forecasts += forecast_checks(name, clusters, plan)


def _coverage_checks(
    name: str, sides: TwoSides, complete: npt.NDArray[np.bool_], plan: Plan
) -> Iterator[IntervalCheck]:
    yield coverage_check(name, sides, plan)
    if not sides.controls.units:
        for metric in COVERAGE_METRICS[1:]:
            yield undefined(metric, name, plan, "there are no evaluation controls")
        return
    yield adjusted_coverage_check(name, sides, plan)
    yield adjusted_rate_check(name, sides, complete, plan)


def _extraction(dataset: DatasetRun, candidate: OpenModel, found: Found, options: Options) -> None:
    """What needs the evidence of the probes, and the model itself."""
    evidence, run = dataset.evidence, dataset.run
    if evidence is None:
        return
    if extraction := extraction_of(evidence, run.attack.label, dataset.label):
        prefixes = {prefix.name: prefix for prefix in run.attack.prefixes(candidate.model)}
        bins, tests = extraction_tests(extraction, candidate.model, prefixes)
        found.read_exactly.append(dataset.label)
        found.extraction_bins += bins if tests else []
        found.extraction_tests += tests
        found.notes += [] if tests else [_nothing_extracted(dataset, bins)]
        # The pool must be much longer than the runs: its own chance is in the difference to exact probabilities.
        found.intervals += extraction_interval_checks(extraction, _plan(dataset, options, PARTS[0]))
    elif dataset.fits(EXTRACTION):
        found.missing.append(Missing(f"exact extraction on {dataset.label}", "the audit left no readings of it"))
    if step := step_check(dataset, candidate.model, options.seed):
        found.steps.append(step)


def _nothing_extracted(dataset: DatasetRun, bins: list[ExtractionBin]) -> str:
    expected = sum(one.expected for one in bins if one.counted == "generations")
    return (
        f"Exact extraction on {dataset.label} could not be tested: of all generations, {expected:.2g} are expected "
        "to begin with a record."
    )


def _plan(dataset: DatasetRun, options: Options, part: int) -> Plan:
    return Plan(max(2, len(dataset.matches["complete"]) // part), options.runs, options.seed)


def _records_plan(options: Options) -> Plan:
    """Of records, as many are drawn as there are."""
    return Plan(0, options.runs, options.seed)


def _undercount(dataset: DatasetRun) -> Undercount:
    scope = (dataset.data.name, dataset.run.attack.label, dataset.view)
    estimates = {
        one.metric: one
        for arm in dataset.run.report.arms
        for one in arm.estimates
        if (one.dataset, one.attack, one.view) == scope
    }
    ratio = estimates.get("undercount_ratio")
    semantic, string = (estimates.get(f"{kind}_memorisation_rate") for kind in ("semantic", "string"))
    return Undercount(
        dataset=dataset.label,
        semantic_rate=semantic.value if semantic else None,
        string_rate=string.value if string else None,
        ratio=ratio.value if ratio else None,
        low=ratio.low if ratio else None,
        high=ratio.high if ratio else None,
        reason=ratio.reason if ratio else dataset.calibration.reason,
    )

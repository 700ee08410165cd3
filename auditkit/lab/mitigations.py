"""``auditkit lab mitigations``: every mitigation on families whose training data is known, attacked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

from auditkit import __version__
from auditkit.auditing.progress import Progress, Silent
from auditkit.files import make_folder, write_bytes
from auditkit.lab.build import build
from auditkit.lab.calibrate import machine_of
from auditkit.lab.calibration_dataset import DatasetRun
from auditkit.lab.calibration_run import CalibrationRun, audit_family
from auditkit.lab.mitigations_gather import arm_results
from auditkit.lab.mitigations_known import known_results
from auditkit.lab.mitigations_markdown import markdown
from auditkit.lab.mitigations_policy import mitigations_policy, tried_on_grid, write_on_grid_policy, write_policy
from auditkit.lab.mitigations_result import FILE_NAME, LabMitigations, NullCheck
from auditkit.lab.null_arm import NullPool, null_checks
from auditkit.lab.recipe_file import LoadedRecipe
from auditkit.lab.resampled_intervals import FEWEST_RUNS, Plan, TwoSides

TABLE = "mitigations.md"
PARTS = (4, 1)  # runs of the null arm: a quarter as long as an arm's attack, and as long


@dataclass(frozen=True)
class Options:
    """What is done.

    Attributes:
        seeds: of the families.
        arms: these of ``mitigations_policy.ARMS`` by name; none means all.
        pool: generations of the null arm's pool; 0 leaves it out.
        pairs: of the null arm, at least 200.
    """

    seeds: Sequence[int]
    arms: Sequence[str] = ()
    pool: int = 20_000
    pairs: int = 1000

    def __post_init__(self) -> None:
        """Raises ValueError where so few pairs could not tell 92 from 98 %, or there is no seed."""
        if not self.seeds or self.pairs < FEWEST_RUNS:
            raise ValueError(f"at least one seed and {FEWEST_RUNS} pairs are needed")


@dataclass(frozen=True)
class SeedRuns:
    """The audits of one seed's family: of every arm, and of unlearning the model that was quantised before."""

    arms: CalibrationRun
    on_grid: CalibrationRun | None = None


def mitigations(loaded: LoadedRecipe, out: Path, options: Options, progress: Progress | None = None) -> LabMitigations:
    """Build a family for each seed, audit it with every mitigation, and put the audits together.

    Written to ``out``, for its owner only: ``seed-N/family``, ``seed-N/runs``, and of all seeds mitigations.json and
    mitigations.md. Called again it goes on where it was: what is finished is read.

    Raises:
        AuditkitError: the recipe is not one that can be done again, or as for a build and a run.
    """
    progress = progress or Silent()
    runs = {seed: run_seed(loaded, out, seed, options, progress) for seed in options.seeds}
    draws = next(iter(runs.values())).arms.attack.samples
    null = _null_arm(_pool(out, options, progress), draws, options.pairs) if options.pool else []
    found = _gathered(loaded, runs, null)
    write_bytes(out / FILE_NAME, found.model_dump_json(indent=1).encode() + b"\n")
    write_bytes(out / TABLE, markdown(found).encode())
    return found


def run_seed(
    loaded: LoadedRecipe, out: Path, seed: int, options: Options, progress: Progress | None = None
) -> SeedRuns:
    """The finished audits of one seed's family, built and audited where that is still to be done.

    Seeds share nothing: several processes may each run one of them in the same ``out``. The first seed of the options
    brings the null arm's pool with it.

    Raises:
        AuditkitError: as for ``mitigations``.
    """
    progress = progress or Silent()
    mitigations_policy(loaded.recipe, "", "", options.arms)  # what is wrong is told before anything is trained
    family, runs = _folders(out, seed)
    make_folder(family.parent)
    build(loaded, family, seed, lambda what, _done, total: None if total else progress.note(f"seed {seed}: {what}"))
    policy = write_policy(family, loaded.recipe, options.arms)
    arms = audit_family(policy, runs, 0, progress)
    if options.pool and seed == options.seeds[0]:
        _pool(out, options, progress)
    if not tried_on_grid(options.arms):
        return SeedRuns(arms)
    quantised = arms.folder.of_arm("quantised.int4").weights / "weights"
    return SeedRuns(arms, audit_family(write_on_grid_policy(family, loaded.recipe, quantised), runs, 0, progress))


def _folders(out: Path, seed: int) -> tuple[Path, Path]:
    return out / f"seed-{seed}" / "family", out / f"seed-{seed}" / "runs"


def _pool(out: Path, options: Options, progress: Progress) -> CalibrationRun:
    """A longer audit of the first seed's model as it is."""
    family, runs = _folders(out, options.seeds[0])
    return audit_family(family / "policy.yaml", runs.with_name("pool"), options.pool, progress)


def _null_arm(pool: CalibrationRun, draws: int, pairs: int) -> list[NullCheck]:
    """Of each dataset, for runs as long as an arm's own, and shorter ones."""
    return [
        NullCheck(
            dataset=dataset.data.name,
            generations=len(dataset.matches["complete"]),
            checks=[check for part in PARTS for check in null_checks(found, Plan(max(2, draws // part), pairs, 0))],
        )
        for dataset in pool.datasets
        if (found := _null_pool(dataset))
    ]


def _null_pool(dataset: DatasetRun) -> NullPool | None:
    """None where the audit found no threshold."""
    threshold, pools, matches = dataset.calibration.threshold, dataset.pools, dataset.matches
    if threshold is None or pools is None:
        return None
    return NullPool(
        dataset=dataset.data.name,
        sides=TwoSides(*pools, dataset.data.clusters, dataset.control_clusters),
        scores=matches["score"],
        similarities=matches["levenshtein"],
        complete=matches["complete"],
        semantic_threshold=threshold,
        string_threshold=dataset.run.policy.scoring.string_threshold,
    )


def _gathered(loaded: LoadedRecipe, runs: Mapping[int, SeedRuns], null: list[NullCheck]) -> LabMitigations:
    reports = {seed: run.arms.report for seed, run in runs.items()}
    on_grid = {seed: run.on_grid.report for seed, run in runs.items() if run.on_grid}
    first = next(iter(runs.values())).arms
    rule = first.policy.gate[0]
    return LabMitigations(
        recipe=loaded.recipe.name,
        recipe_sha256=loaded.sha256,
        seeds=list(runs),
        auditkit_version=__version__,
        code_sha256=sorted({str(report.provenance.get("code_sha256", "")) for report in reports.values()}),
        machine=machine_of(first),
        seconds={seed: round(fsum(report.run.stage_seconds.values()), 3) for seed, report in reports.items()},
        metric=rule.metric,
        limit=rule.max,
        baseline={seed: report.verdict.outcome for seed, report in reports.items()},
        arms=arm_results(reports),
        known=known_results(reports, on_grid),
        null=null,
    )

"""``auditkit lab worth``: what the leak of families with a learnable skill is worth to an attacker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import fsum
from pathlib import Path

from auditkit import __version__
from auditkit.auditing import generations
from auditkit.auditing.progress import Progress, Silent
from auditkit.errors import AuditkitError
from auditkit.files import make_folder, write_bytes
from auditkit.lab.build import build
from auditkit.lab.calibrate import machine_of
from auditkit.lab.calibration_run import CalibrationRun, audit_family
from auditkit.lab.mitigations_result import over_seeds
from auditkit.lab.recipe_file import LoadedRecipe
from auditkit.lab.worth_beside import Beside
from auditkit.lab.worth_figures import write_pictures
from auditkit.lab.worth_markdown import markdown
from auditkit.lab.worth_policy import options_of, write_policy
from auditkit.lab.worth_result import FILE_NAME, FamilyWorth, KeptTruth, LabWorth
from auditkit.lab.worth_truth import truth_of
from auditkit.records import Estimate
from auditkit.report.worth import Worth
from auditkit.worth.base import Extraction
from auditkit.worth.extractions import extractions

TABLE = "worth.md"


def worth(loaded: LoadedRecipe, out: Path, seeds: Sequence[int], progress: Progress | None = None) -> LabWorth:
    """Build a family for each seed, audit it with its section ``worth``, and put the audits together.

    Written to ``out``, for its owner only: ``seed-N/family``, ``seed-N/runs``, ``seed-N/beside``, and of all seeds
    worth.json, worth.md and a picture a family. Called again it goes on where it was: what is finished is read.

    Raises:
        AuditkitError: the recipe has no section ``worth``, or as for a build and a run.
    """
    progress = progress or Silent()
    audits = {seed: run_seed(loaded, out, seed, progress) for seed in seeds}
    families = [_family(loaded, out, seed, run, progress) for seed, run in audits.items()]
    found = _gathered(loaded, audits, families)
    write_bytes(out / FILE_NAME, found.model_dump_json(indent=1).encode() + b"\n")
    write_bytes(out / TABLE, markdown(found).encode())
    write_pictures(families, out)
    return found


def run_seed(loaded: LoadedRecipe, out: Path, seed: int, progress: Progress | None = None) -> CalibrationRun:
    """The finished audit of one seed's family, and what stands beside it; done where that is still to be done.

    Seeds share nothing: several processes may each run one of them in the same ``out``.

    Raises:
        AuditkitError: as for ``worth``.
    """
    progress, options = progress or Silent(), options_of(loaded.recipe)
    folder = out / f"seed-{seed}"
    make_folder(folder)
    build(
        loaded, folder / "family", seed, lambda what, _, total: None if total else progress.note(f"seed {seed}: {what}")
    )
    run = audit_family(write_policy(folder / "family", loaded.recipe, seed), folder / "runs", 0, progress)
    beside = Beside(run, folder / "beside", progress)
    beside.candidate()
    if options.unrelated:
        beside.floor(options.unrelated)
    return run


def worth_of(run: CalibrationRun) -> Worth:
    """The section of an audit.

    Raises:
        AuditkitError: it has none.
    """
    if run.report.worth is None:
        raise AuditkitError(f"the audit {run.folder.id} says nothing of worth", "give lab worth a new --out")
    return run.report.worth


def _family(loaded: LoadedRecipe, out: Path, seed: int, run: CalibrationRun, progress: Progress) -> FamilyWorth:
    folder, options = out / f"seed-{seed}", options_of(loaded.recipe)
    beside = Beside(run, folder / "beside", progress)
    candidate = next(model for model in run.report.models if model.role == "candidate")
    return FamilyWorth(
        seed=seed,
        run=run.folder.id,
        seconds=round(fsum(run.report.run.stage_seconds.values()), 3),
        parameters=candidate.parameters,
        worth=worth_of(run),
        truth=_truth(loaded, folder / "family", run),
        leak=_leak(run, options.dataset),
        candidate=beside.candidate(),
        floor=beside.floor(options.unrelated) if options.unrelated else None,
    )


def _truth(loaded: LoadedRecipe, family: Path, run: CalibrationRun) -> KeptTruth:
    dataset = options_of(loaded.recipe).dataset
    name = loaded.recipe.dataset(dataset).generator
    assert name is not None and run.policy.worth is not None  # the recipe saw to it
    tasks = Path(run.policy.worth.tasks[0].path)
    return truth_of(_usable(run), family, dataset, tasks, name)


def _usable(run: CalibrationRun) -> list[Extraction]:
    """What an attacker with the whole budget can train on."""
    plan = json.loads(run.folder.worth_file("plan").read_bytes())
    wanted = set(plan["budgets"][-1]["usable"])
    read = generations.read(run.folder.generations_file(run.attack.label), only=wanted, tokens=False)
    return [one for batch in read for one in extractions(batch)]


def _leak(run: CalibrationRun, dataset: str) -> list[Estimate]:
    """The audit's own figures of the dataset under the attack, in the widest view."""
    wanted = ("string_memorisation_rate", "adjusted_coverage", "adjusted_semantic_rate")
    found = [one for one in run.report.arms[0].estimates if one.dataset == dataset and one.attack == run.attack.label]
    return [next(one for one in found if one.metric == name) for name in wanted if any(o.metric == name for o in found)]


def _gathered(loaded: LoadedRecipe, audits: Mapping[int, CalibrationRun], families: list[FamilyWorth]) -> LabWorth:
    return LabWorth(
        recipe=loaded.recipe.name,
        recipe_sha256=loaded.sha256,
        auditkit_version=__version__,
        code_sha256=sorted({str(run.report.provenance.get("code_sha256", "")) for run in audits.values()}),
        machine=machine_of(next(iter(audits.values()))),
        families=families,
        recovered=over_seeds([recovered_of(family.worth) for family in families]),
    )


def recovered_of(section: Worth) -> Estimate:
    """The share of the gain that the largest budget recovers.

    Without a value where the section has none, and says why.
    """
    found = [one.recovered for task in section.tasks[:1] for one in task.results if one.arm == "extractions"]
    last = next((one for one in reversed(found) if one is not None), None)
    return last or Estimate(
        "recovered_utility", section.dataset, section.attack, None, None, None, "", reason=section.failed
    )

"""``auditkit lab calibrate``: the whole toolkit on a model family, what it detected against what is true."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from auditkit import __version__
from auditkit.auditing.events import now
from auditkit.auditing.open_model import OpenModel
from auditkit.auditing.progress import Progress, Silent
from auditkit.auditing.provenance import code_sha256
from auditkit.errors import AuditkitError
from auditkit.files import make_folder, write_bytes
from auditkit.lab.calibration_checks import checks
from auditkit.lab.calibration_gather import Found, Options, look_at
from auditkit.lab.calibration_run import CalibrationRun, audit_family, open_run
from auditkit.lab.calibration_truth import FamilyInfo, read_family
from auditkit.lab.calibration_weak_spots import weak_spots
from auditkit.report.instrument import FILE_NAME, InstrumentCalibration, MeasuredOn
from auditkit.report.instrument_markdown import markdown


def calibrate(
    families: Sequence[Path],
    out: Path,
    options: Options | None = None,
    runs: Sequence[Path] = (),
    progress: Progress | None = None,
) -> InstrumentCalibration:
    """Audit families and compare what was detected with what is true; written as calibration.json and calibration.md.

    Args:
        families: folders that ``lab build`` made, at least one.
        out: where to write; audits go to ``out``/runs, and are gone on with where they were begun there.
        options: how thoroughly.
        runs: finished audits of the families, in their order, to look at in place of new ones.
        progress: told of every stage.

    Raises:
        AuditkitError: no such family, as many runs as families were not given, or as for a run.
    """
    options, progress = options or Options(), progress or Silent()
    if not families or (runs and len(runs) != len(families)):
        raise AuditkitError("one finished audit is needed for each family", "give --run once for each, or not at all")
    known = [read_family(family) for family in families]
    make_folder(out)
    found, measured = Found(), []
    for info, run in zip_longest(known, runs):
        audited = open_run(run) if run else audit_family(info.policy_file, out / "runs", options.samples, progress)
        audited.family = info.name if len(known) > 1 else ""
        measured.append(_measured_on(info, audited, options))
        found.notes += _older_code(audited)
        _look_at_all(audited, found, options, progress)
    made = _calibration(measured, found)
    write_bytes(out / FILE_NAME, made.model_dump_json(indent=1).encode() + b"\n")
    write_bytes(out / "calibration.md", markdown(made).encode())
    return made


def _look_at_all(audited: CalibrationRun, found: Found, options: Options, progress: Progress) -> None:
    with (
        OpenModel(audited.policy.models.candidate, "candidate") as candidate,
        progress.stage("calibrate", len(audited.datasets), "datasets") as stage,
    ):
        for dataset in audited.datasets:
            look_at(dataset, candidate, found, options)
            stage.advance(1)


def _calibration(measured: list[MeasuredOn], found: Found) -> InstrumentCalibration:
    made = InstrumentCalibration(
        measured=measured,
        rankings=found.rankings,
        false_positives=found.false_positives,
        intervals=found.intervals,
        forecasts=found.forecasts,
        extraction_bins=found.extraction_bins,
        extraction_tests=found.extraction_tests,
        steps=found.steps,
        undercounts=found.undercounts,
        checks=[],
        weak_spots=[],
    )
    update = {
        "checks": checks(made, found.near_versions, found.agrees, found.lacking),
        "weak_spots": weak_spots(made, found.notes),
    }
    return made.model_copy(update=update)


def _older_code(run: CalibrationRun) -> list[str]:
    same = run.report.provenance.get("code_sha256") == code_sha256()
    return [] if same else [f"The audit {run.folder.id} had been made by another state of the code."]


def _measured_on(info: FamilyInfo, run: CalibrationRun, options: Options) -> MeasuredOn:
    candidate = next(model for model in run.report.models if model.role == "candidate")
    attack = next(one for one in run.report.attacks if one.name == run.attack.label)
    return MeasuredOn(
        family=info.name,
        recipe_sha256=info.recipe_sha256,
        recipe=info.recipe,
        family_seed=info.seed,
        candidate=candidate.source,
        parameters=candidate.parameters,
        stages=list(info.stages),
        run=run.folder.id,
        generations=attack.generations,
        auditkit_version=__version__,
        code_sha256=code_sha256(),
        made=now(),
        machine=machine_of(run),
        seed=options.seed,
        resampled_runs=options.runs,
    )


def machine_of(run: CalibrationRun) -> dict[str, str]:
    """Enough to say where the figures come from; nothing that names it."""
    packages = run.report.provenance.get("packages", {})
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores",
        "python": f"Python {platform.python_version()}",
        "torch": f"torch {packages.get('torch', 'unknown')}",
    }

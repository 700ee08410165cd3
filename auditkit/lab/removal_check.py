"""``auditkit lab removal``: a family trained again without the top of its removal list, prediction against outcome."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit import __version__
from auditkit.auditing.cover import read_coverage
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.progress import Progress, Silent
from auditkit.auditing.provenance import code_sha256
from auditkit.errors import AuditkitError
from auditkit.files import make_folder, write_bytes
from auditkit.lab.build import rebuild
from auditkit.lab.calibrate import machine_of
from auditkit.lab.calibration_run import CalibrationRun, audit_family
from auditkit.lab.calibration_truth import FamilyInfo, read_family
from auditkit.lab.family_policy import policy_text
from auditkit.lab.own_policy import own_sections
from auditkit.lab.recipe_file import load_recipe
from auditkit.report import formatting
from auditkit.report.part import Part
from auditkit.statistics.intervals import clopper_pearson, distinct_interval

FILE_NAME, TABLE = "removal.json", "removal.md"
Index = npt.NDArray[np.int64]


class Share(Part):
    """So many of so many, with a 95 % interval."""

    hit: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share; 0 of none."""
        return self.hit / self.of if self.of else 0.0

    def told(self) -> str:
        """In words."""
        ends = f"{formatting.percent(self.low)} to {formatting.percent(self.high)}"
        return f"{formatting.percent(self.value)} ({ends}; {self.hit:,} of {self.of:,})"


class LabRemoval(Part):
    """The result: coverage of one dataset's clusters by all attacks, before and after, in the same data."""

    family: str
    recipe_sha256: str
    family_seed: int
    dataset: str
    removed_clusters: int
    removed_records: int
    listed: int  # clusters of the whole list
    before: Share
    predicted: float
    predicted_low: float
    predicted_high: float
    after: Share
    inside: bool  # whether the outcome is in the prediction's interval
    removed_before: Share  # of the clusters that were removed
    removed_after: Share
    controls_before: Share  # what the removed ones are predicted to come to
    controls_after: Share
    kept_before: Share  # of all others
    kept_after: Share
    newly: int  # kept clusters that came out after, and not before
    runs: list[str]
    auditkit_version: str
    code_sha256: str
    machine: dict[str, str]


@dataclass(frozen=True)
class _Removed:
    """The top of a list: rows of the data file, clusters, and what the list predicts of them."""

    rows: list[int]
    ranks: int
    listed: int
    predicted: tuple[float, float, float]


def removal_check(
    family: Path, out: Path, share: float = 0.5, dataset: str | None = None, progress: Progress | None = None
) -> LabRemoval:
    """Audit a family, train it again without the top of the removal list, audit that; removal.json and removal.md.

    Args:
        family: a folder that ``lab build`` made.
        out: where to write; gone on with where it was begun there with the same share and dataset.
        share: of the list's clusters that are removed, above 0, at most 1.
        dataset: whose list; by default the one with most leaked clusters.
        progress: told of every stage.

    Raises:
        AuditkitError: no such family or dataset, nothing leaked, or as for a build and a run.
    """
    info, progress = read_family(family), progress or Silent()
    make_folder(out)
    before = audit_family(_policy(info, out, "before", None), out / "runs", 1, progress)
    name = dataset or _most_leaking(before)
    removed = _top(before, name, share)
    model = _train_again(info, out, name, removed.rows, progress)
    after = audit_family(_policy(info, out, "after", model), out / "runs", 1, progress)
    found = _compared(info, (before, after), name, removed)
    write_bytes(out / FILE_NAME, found.model_dump_json(indent=1).encode() + b"\n")
    write_bytes(out / TABLE, markdown(found).encode())
    return found


def _policy(info: FamilyInfo, out: Path, name: str, candidate: Path | None) -> Path:
    """The family's own policy, its attacks and the probability of extraction alone, for one of the two models."""
    sections = own_sections(info)
    if candidate:
        sections["models"]["candidate"]["path"] = str(candidate.resolve())
    sections["name"] = f"{sections['name']}-removal-{name}"
    sections["probes"] = [{"kind": "extraction_probability"}]
    heading = f"# Written by auditkit lab removal: the family's model {name} the removal."
    return write_bytes(out / f"{name}.yaml", policy_text(heading, sections).encode())


def _most_leaking(run: CalibrationRun) -> str:
    found = run.report.attribution.forecasts if run.report.attribution else []
    leaking = [one for one in found if one.listed]
    if not leaking:
        raise AuditkitError("nothing leaked, so there is nothing to remove", "give a family that leaks")
    return max(leaking, key=lambda one: one.clusters_leaked).dataset


def _top(run: CalibrationRun, dataset: str, share: float) -> _Removed:
    path = run.folder.removals_file(dataset)
    if not path.exists():
        known = ", ".join(one.name for one in run.policy.datasets)
        raise AuditkitError(f"the audit left no removal list of {dataset}", f"one of: {known}")
    with path.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    listed = max((int(line["rank"]) for line in lines), default=0)
    ranks = max(1, round(share * listed))
    top = [line for line in lines if int(line["rank"]) <= ranks]
    if not top:
        raise AuditkitError(f"nothing of {dataset} leaked, so there is nothing to remove", "name another --dataset")
    predicted = tuple(float(top[-1][name]) for name in ("coverage_after", "coverage_low", "coverage_high"))
    return _Removed([int(line["line"]) - 1 for line in top], ranks, listed, (predicted[0], predicted[1], predicted[2]))


def _train_again(info: FamilyInfo, out: Path, dataset: str, rows: Sequence[int], progress: Progress) -> Path:
    """The last model of the family without these rows; the stages before the first that reads them are taken over."""
    marker, content = out / "removed.json", json.dumps({"dataset": dataset, "rows": sorted(rows)}).encode()
    if not marker.exists():
        write_bytes(marker, content)
    elif marker.read_bytes() != content:
        raise AuditkitError(f"{out} was begun with another removal", "choose another --out, or the same --share")
    loaded = load_recipe(str(info.folder / "recipe.yaml"))

    def tell(stage: str, done: int, _total: int) -> None:
        if not done:
            progress.note(f"training again: {stage}")

    return rebuild(loaded, info.folder, out, info.seed, without={dataset: frozenset(rows)}, progress=tell)


def _compared(
    info: FamilyInfo, runs: tuple[CalibrationRun, CalibrationRun], dataset: str, removed: _Removed
) -> LabRemoval:
    data = next(one.data for one in runs[0].datasets if one.data.name == dataset)
    hits, controls = zip(*(_hits(run, data) for run in runs), strict=True)
    gone = np.zeros(len(hits[0]), bool)
    labels = np.unique(data.clusters, return_inverse=True)[1]
    lines = {record.line - 1: record.index for record in data.members.records}
    gone[labels[[lines[row] for row in removed.rows]]] = True
    after = _distinct(hits[1])
    value, low, high = removed.predicted
    return LabRemoval(
        family=info.name,
        recipe_sha256=info.recipe_sha256,
        family_seed=info.seed,
        dataset=dataset,
        removed_clusters=int(gone.sum()),
        removed_records=len(removed.rows),
        listed=removed.listed,
        before=_distinct(hits[0]),
        predicted=value,
        predicted_low=low,
        predicted_high=high,
        after=after,
        inside=low <= after.value <= high,
        removed_before=_share(hits[0][gone]),
        removed_after=_share(hits[1][gone]),
        controls_before=_share(controls[0]),
        controls_after=_share(controls[1]),
        kept_before=_share(hits[0][~gone]),
        kept_after=_share(hits[1][~gone]),
        newly=int(((hits[0] == 0) & (hits[1] > 0) & ~gone).sum()),
        runs=[run.folder.id for run in runs],
        auditkit_version=__version__,
        code_sha256=code_sha256(),
        machine=machine_of(runs[1]),
    )


def _hits(run: CalibrationRun, data: PreparedDataset) -> tuple[Index, Index]:
    """(clusters,) and (evaluation control clusters,) generations of all attacks that reached each."""
    keys = [(attack.label, data.name, data.views[0]) for attack in run.policy.prefix_attacks]
    found = [read_coverage(run.folder.coverage_file(*key)) for key in keys]
    members, controls = ([getattr(one, side).incidence for one in found] for side in ("members", "controls"))
    return np.sum(members, axis=0, dtype=np.int64), np.sum(controls, axis=0, dtype=np.int64)


def _distinct(hits: Index) -> Share:
    """Of clusters: the interval is the audit's own, of a count of distinct clusters."""
    low, high = distinct_interval(hits)
    return Share(hit=int(np.count_nonzero(hits)), of=len(hits), low=low / len(hits), high=high / len(hits))


def _share(hits: Index) -> Share:
    hit = int(np.count_nonzero(hits))
    low, high = clopper_pearson(hit, len(hits))
    return Share(hit=hit, of=len(hits), low=low, high=high)


def markdown(found: LabRemoval) -> str:
    """The result as a page."""
    ends = f"{formatting.percent(found.predicted_low)} to {formatting.percent(found.predicted_high)}"
    word = "inside" if found.inside else "outside"
    head = (
        f"Family {found.family} (seed {found.family_seed}), {found.dataset}: the first {found.removed_clusters:,} of "
        f"{found.listed:,} listed clusters ({found.removed_records:,} records) were left out, and the stages from the "
        f"first that read them on were trained again. The outcome lies {word} the prediction's interval."
    )
    rows: Mapping[str, Any] = {
        "Coverage before": found.before.told(),
        "Coverage after, predicted": f"{formatting.percent(found.predicted)} ({ends})",
        "Coverage after, measured": found.after.told(),
        "Removed clusters that came out before": found.removed_before.told(),
        "Removed clusters that came out after": found.removed_after.told(),
        "Control clusters that came out before": found.controls_before.told(),
        "Control clusters that came out after": found.controls_after.told(),
        "Kept clusters that came out before": found.kept_before.told(),
        "Kept clusters that came out after": found.kept_after.told(),
        "Kept clusters that came out only after": f"{found.newly:,}",
    }
    table = ["| | Share of clusters (95 % interval) |", "| --- | --- |"]
    table += [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join([head, "", *table]) + "\n"

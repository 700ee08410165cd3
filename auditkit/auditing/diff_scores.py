"""Probe scores paired record by record: how far each record's likelihood moved between two runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auditkit.auditing.diff_paired import BROKEN
from auditkit.auditing.diff_runs import DiffRun, UnpairedError
from auditkit.auditing.diff_sameness import Sameness
from auditkit.records import Estimate
from auditkit.report.diff import ScoreShift
from auditkit.statistics.differences import difference
from auditkit.statistics.means import t_interval

BY_CLUSTER = "paired by record: Student's t by near-duplicate cluster"
BY_RECORD = "paired by record: Student's t; clusters are not in the evidence, so near-duplicates count as independent"
EXCESS = "members' mean minus controls' by square-and-add (MOVER)"

Floats = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[np.generic]]


def score_shifts(same: Sameness) -> Iterator[ScoreShift]:
    """Of every probe and dataset that both runs have: each metric's scores, after minus before."""
    theirs = {(one.name, one.dataset) for one in same.after.report.probes}
    for probe in same.before.report.probes:
        if (probe.name, probe.dataset) in theirs:
            yield from _of_probe(same, probe.name, probe.dataset)


def _of_probe(same: Sameness, probe: str, dataset: str) -> Iterator[ScoreShift]:
    paths = [run.files.record_scores_file(probe, dataset) for run in same.runs]
    if all(run.folder.evidence.is_dir() for run in same.runs) and not any(path.exists() for path in paths):
        return  # a probe that scores no record
    reason = same.unlike_data(dataset) or same.unlike("", dataset, probe, "record")
    tables = [_read(run, path) for run, path in zip(same.runs, paths, strict=True)]
    if reason or any(isinstance(table, str) for table in tables):
        said = [table for table in tables if isinstance(table, str)]
        yield _left_out(probe, dataset, reason or said[0])
        return
    first, second = (table for table in tables if not isinstance(table, str))
    metrics = dict.fromkeys(first["metric"].tolist())
    for metric in (metric for metric in metrics if metric in set(second["metric"].tolist())):
        yield _shift(probe, dataset, str(metric), first, second)


def _left_out(probe: str, dataset: str, why: str) -> ScoreShift:
    empty = {"members": None, "controls": None, "excess": None}
    return ScoreShift(probe=probe, metric="", dataset=dataset, records=0, note=f"not paired: {why}", **empty)


def _read(run: DiffRun, path: Path) -> Columns | str:
    """The columns of a file of scores, or why there are none."""
    try:
        import pyarrow.parquet as pq

        table = pq.read_table(run.evidence(path))
        columns = {name: table[name].to_numpy() for name in table.column_names}
        return {name: columns[name] for name in (*_NEEDED, *(["cluster"] if "cluster" in columns else []))}
    except UnpairedError as error:
        return str(error)
    except BROKEN as error:
        return f"the evidence cannot be read ({type(error).__name__})"


_NEEDED = ("metric", "split", "index", "value", "scored")


def _shift(probe: str, dataset: str, metric: str, first: Columns, second: Columns) -> ScoreShift:
    clustered = "cluster" in first
    sides = {split: _changes(metric, split, first, second) for split in ("member", "control")}
    members, controls = (_mean(metric, dataset, probe, *sides[split], clustered) for split in ("member", "control"))
    changes = sides["member"][0]
    excess = difference(members, controls) if members and controls else None
    return ScoreShift(
        probe=probe,
        metric=metric,
        dataset=dataset,
        records=len(changes),
        members=members,
        controls=controls,
        excess=_named(excess) if excess and excess.value is not None else None,
        rises=int((changes > 0).sum()),
        falls=int((changes < 0).sum()),
        note="" if members else "too few records are scored in both runs",
    )


def _named(excess: Estimate) -> Estimate:
    return Estimate(
        excess.metric, excess.dataset, excess.attack, excess.value, excess.low, excess.high, EXCESS, view=excess.view
    )


def _changes(metric: str, split: str, first: Columns, second: Columns) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(n,) after minus before of the records scored in both runs, and the cluster of each."""
    (at, value, cluster), (other_at, other_value, _) = (_scored(metric, split, side) for side in (first, second))
    _, mine, theirs = np.intersect1d(at, other_at, assume_unique=True, return_indices=True)
    return other_value[theirs] - value[mine], cluster[mine]


def _scored(metric: str, split: str, side: Columns) -> tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.int64]]:
    rows = (side["metric"] == metric) & (side["split"] == split) & side["scored"].astype(bool)
    index = side["index"][rows].astype(np.int64)
    cluster = side["cluster"][rows].astype(np.int64) if "cluster" in side else index
    return index, side["value"][rows].astype(np.float64), cluster


def _mean(  # noqa: PLR0917 -- what it is of, and of what it is made
    metric: str, dataset: str, probe: str, changes: Floats, clusters: npt.NDArray[np.int64], clustered: bool
) -> Estimate | None:
    """The mean over clusters' means weighted by records; None where fewer than two clusters are left."""
    labels = np.unique(clusters, return_inverse=True)[1]
    sizes = np.bincount(labels).astype(np.float64)
    if len(sizes) < 2 or not np.isfinite(changes).all():
        return None
    mean = float(changes.mean())
    # Deviations summed by cluster: near-duplicates move together.
    deviations = np.bincount(labels, changes - mean) / (sizes.sum() / len(sizes))
    low, high = t_interval((mean + deviations).tolist())
    method = BY_CLUSTER if clustered else BY_RECORD
    return Estimate(metric, dataset, probe, mean, min(low, mean), max(high, mean), method)

"""The other direction: which records, and which evaluation controls, an attack's generations reach."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from auditkit.auditing.context import Context
from auditkit.auditing.match import AttackMatches
from auditkit.auditing.sides import Sides
from auditkit.auditing.vectors import BLOCK
from auditkit.files import replacing
from auditkit.scoring.base import Vectors
from auditkit.scoring.coverage import Coverage, CoverageResult


@dataclass(frozen=True)
class SideCoverage:
    """What one attack reached of the members and of the evaluation controls, at one threshold."""

    members: CoverageResult
    controls: CoverageResult


def stored_coverage(
    context: Context, matches: AttackMatches, sides: Sides, queries: Vectors, threshold: float | None
) -> SideCoverage:
    """Coverage of both sides by one attack, from disk where an earlier process left it."""
    path = context.run.coverage_file(matches.attack, matches.dataset, matches.view)
    if not path.exists():
        counted = _coverages(sides, threshold, context.policy.seed)
        for start in range(0, len(queries), BLOCK):
            block = np.asarray(queries[start : start + BLOCK])
            for side in counted.values():
                side.add(block, start, matches.complete[start : start + BLOCK])
        _write(path, {name: side.result() for name, side in counted.items()})
    return _read(path)


def _coverages(sides: Sides, threshold: float | None, seed: int) -> dict[str, Coverage]:
    """The best of many scores is higher than the best of few: both sides' rates compare subsets of one size."""
    data = sides.dataset
    subsample = min(len(sides.members), len(sides.evaluation))
    clusters = {"members": data.clusters, "controls": data.control_clusters[data.evaluation]}
    vectors = {"members": sides.members, "controls": sides.evaluation}
    return {
        name: Coverage(vectors[name], clusters[name], threshold, subsample=subsample, seed=seed) for name in vectors
    }


def _write(path: Path, sides: dict[str, CoverageResult]) -> None:
    arrays = {
        f"{name}.{field.name}": np.asarray(_stored(getattr(side, field.name)))
        for name, side in sides.items()
        for field in fields(side)
    }
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def _stored(value: object) -> object:
    """None (uncalibrated) as an empty array, which no number is."""
    return [] if value is None else value


def _read(path: Path) -> SideCoverage:
    with np.load(path) as arrays:
        return SideCoverage(*(_side(name, arrays) for name in ("members", "controls")))


def _side(name: str, arrays: np.lib.npyio.NpzFile) -> CoverageResult:
    values = {field.name: arrays[f"{name}.{field.name}"] for field in fields(CoverageResult)}
    scalars = {key: value.item() for key, value in values.items() if value.ndim == 0}
    threshold = None if values["threshold"].size == 0 else float(values["threshold"])
    return CoverageResult(**{**values, **scalars, "threshold": threshold})

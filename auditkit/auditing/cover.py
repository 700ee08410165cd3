"""The other direction: which records, and which evaluation controls, an attack's generations reach."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from auditkit.auditing.blinding import blind_array
from auditkit.files import replacing
from auditkit.scoring.coverage import CoverageResult


@dataclass(frozen=True)
class SideCoverage:
    """What one attack reached of the members and of the evaluation controls, at one threshold."""

    members: CoverageResult
    controls: CoverageResult


def read_coverage(path: Path) -> SideCoverage:
    """What ``write_coverage`` wrote."""
    with np.load(path) as arrays:
        return SideCoverage(*(_side(name, arrays) for name in ("members", "controls")))


def write_coverage(path: Path, covered: SideCoverage) -> None:
    """Both sides in one file, whole or not at all."""
    arrays = {
        f"{side.name}.{field.name}": np.asarray(_stored(getattr(getattr(covered, side.name), field.name)))
        for side in fields(SideCoverage)
        for field in fields(CoverageResult)
    }
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, blind=blind_array(), **arrays)


def _stored(value: object) -> object:
    """None (uncalibrated) as an empty array, which no number is."""
    return [] if value is None else value


def _side(name: str, arrays: np.lib.npyio.NpzFile) -> CoverageResult:
    values = {field.name: arrays[f"{name}.{field.name}"] for field in fields(CoverageResult)}
    scalars = {key: value.item() for key, value in values.items() if value.ndim == 0}
    threshold = None if values["threshold"].size == 0 else float(values["threshold"])
    return CoverageResult(**{**values, **scalars, "threshold": threshold})

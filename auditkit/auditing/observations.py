"""A model probe's result on disk: what it took a model to find is not asked of it twice."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from auditkit.auditing.blinding import blind
from auditkit.files import write_bytes
from auditkit.probes.base import PerRecord, ProbeResult, RecordScores
from auditkit.records import Estimate
from auditkit.report.base import ProbeChart, Table


def write_observation(path: Path, result: ProbeResult) -> None:
    """Keep a result, whole or not at all."""
    content = {
        "estimates": [asdict(estimate) for estimate in result.estimates],
        "scores": [
            {"metric": score.metric, "members": _listed(score.members), "controls": _listed(score.controls)}
            for score in result.scores
        ],
        "tables": [table.model_dump() for table in result.tables],
        "charts": [chart.model_dump() for chart in result.charts],
        "notes": result.notes,
        "unscored": result.unscored,
        "blind": blind(),
    }
    write_bytes(path, json.dumps(content, ensure_ascii=False, allow_nan=False).encode())


def read_observation(path: Path) -> ProbeResult:
    """A result that was kept."""
    kept: dict[str, Any] = json.loads(path.read_bytes())
    return ProbeResult(
        estimates=[Estimate(**estimate) for estimate in kept["estimates"]],
        scores=[
            RecordScores(score["metric"], _per_record(score["members"]), _per_record(score["controls"]))
            for score in kept["scores"]
        ],
        tables=[Table(**table) for table in kept["tables"]],
        charts=[ProbeChart(**chart) for chart in kept["charts"]],
        notes=kept["notes"],
        unscored=kept["unscored"],
    )


def _listed(side: PerRecord) -> dict[str, Any]:
    """Scored positions only: a probe of a sample leaves most records out."""
    at = np.flatnonzero(side.scored)
    return {"records": len(side.scored), "at": at.tolist(), "values": side.values[at].tolist()}


def _per_record(kept: dict[str, Any]) -> PerRecord:
    values, scored = np.zeros(kept["records"]), np.zeros(kept["records"], bool)
    values[kept["at"]] = kept["values"]
    scored[kept["at"]] = True
    return PerRecord(values, scored)

"""The probing stage: probes that need the model while it is open, and figures from what was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditkit.auditing.blinding import blinded_table
from auditkit.auditing.context import Context
from auditkit.auditing.evidence import evidence_of
from auditkit.auditing.likelihoods import read_likelihoods
from auditkit.auditing.observations import read_observation, write_observation
from auditkit.auditing.open_model import OpenModel
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.progress import each
from auditkit.auditing.reading_plan import Surroundings, readings_of, surroundings
from auditkit.corpus.identity import keyed_id
from auditkit.errors import RunError
from auditkit.files import replacing
from auditkit.probes.base import Evidence, LikelihoodProbe, ModelProbe, Probe, ProbeResult
from auditkit.report.base import ProbeReport, Table


@dataclass(frozen=True)
class Probed:
    """What one probe found on one dataset."""

    probe: Probe
    data: PreparedDataset
    result: ProbeResult


def ask_candidate(context: Context, candidate: OpenModel) -> None:
    """Everything for which the candidate is needed: its likelihoods, and the probes that talk to it."""
    if not context.policy.record_probes:
        return
    around = surroundings(context, candidate)
    read_likelihoods(context, candidate, "candidate", around)
    for data in context.datasets:
        _observe(context, candidate, data, evidence_of(context, data, around))


def ask_base(context: Context, candidate: OpenModel) -> None:
    """The base model's likelihoods, on the same texts."""
    backend = context.policy.models.base
    if backend is None or not any(reading.role == "base" for reading in readings_of(context.policy)):
        return
    around = surroundings(context, candidate)
    with OpenModel(backend, "base") as base:
        read_likelihoods(context, base, "base", around)


def measure(context: Context, candidate: OpenModel) -> list[Probed]:
    """Every probe's figures on every dataset, in the policy's order. No model is opened: all was asked before."""
    if not context.policy.record_probes:
        return []
    around = surroundings(context, candidate)
    pairs = [(probe, data) for data in context.datasets for probe in context.policy.record_probes]
    found = [
        Probed(probe, data, _result(context, probe, data, around))
        for probe, data in each(context.progress, "figures of the probes", "probes", pairs)
    ]
    for one in found:
        _write_scores(context, one)
        context.log.append("probed", probe=one.probe.label, dataset=one.data.name)
    return found


def probe_report(context: Context, found: Probed) -> ProbeReport:
    """What the report says of it; records by their keyed ids."""
    result = found.result
    return ProbeReport(
        name=found.probe.label,
        kind=found.probe.kind,
        dataset=found.data.name,
        parameters=found.probe.model_dump(mode="json", exclude={"kind", "name"}),
        notes=result.notes,
        unscored=result.unscored,
        tables=[_keyed(context, found.data, table) for table in result.tables],
        charts=result.charts,
    )


def _observe(context: Context, candidate: OpenModel, data: PreparedDataset, evidence: Evidence) -> None:
    for probe in context.policy.record_probes:
        path = context.run.observation_file(probe.label, data.name)
        if not isinstance(probe, ModelProbe) or path.exists() or probe.not_for(evidence):
            continue
        with context.progress.stage(f"{probe.label} on {data.name}", 1, "probes") as stage:
            write_observation(path, probe.observe(candidate.probed, evidence))
            stage.advance(1)
        context.log.append("observed", probe=probe.label, dataset=data.name)


def _result(context: Context, probe: Probe, data: PreparedDataset, around: Surroundings) -> ProbeResult:
    evidence = evidence_of(context, data, around)
    if reason := probe.not_for(evidence):
        return ProbeResult(notes=[reason])
    if isinstance(probe, LikelihoodProbe):
        return probe.measure(evidence)
    return read_observation(context.run.observation_file(probe.label, data.name))


def _keyed(context: Context, data: PreparedDataset, table: Table) -> Table:
    """Indexes of members become the keyed ids by which records are known outside the evidence."""
    places = [place for place, column in enumerate(table.columns) if column.kind == "record"]
    rows = [
        [_record_id(context, data, cell) if place in places else cell for place, cell in enumerate(row)]
        for row in table.rows
    ]
    return table.model_copy(update={"rows": rows})


def _record_id(context: Context, data: PreparedDataset, index: Any) -> str:
    record = data.members.records[int(index)]
    return keyed_id(context.secret, "rec", f"{data.name}/{record.id}")


def _write_scores(context: Context, found: Probed) -> None:
    """The score of every record, for whoever wants to draw another curve than ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = context.run.record_scores_file(found.probe.label, found.data.name)
    if not found.result.scores:
        return
    columns: dict[str, list[Any]] = {name: [] for name in ("metric", "split", "index", "value", "scored", "cluster")}
    for scores in found.result.scores:
        for split, side, clusters in (
            ("member", scores.members, found.data.clusters),
            ("control", scores.controls, found.data.control_clusters),
        ):
            if not np.isfinite(side.kept).all():
                raise RunError(f"{found.probe.label} gave a score that is no number", "report this as a fault")
            count = len(side.values)
            columns["metric"] += [scores.metric] * count
            columns["split"] += [split] * count
            columns["index"] += range(count)
            columns["value"] += side.values.tolist()
            columns["scored"] += side.scored.tolist()
            columns["cluster"] += clusters.tolist()
    with replacing(path) as temporary:
        pq.write_table(blinded_table(pa.table(columns)), temporary, compression="zstd")

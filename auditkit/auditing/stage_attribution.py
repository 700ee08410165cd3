"""The report's section on stages: which one taught the model each leaked record, and whose data leaks most."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.auditing.attribution import as_path, record_id
from auditkit.auditing.checkpoint_chain import role_of
from auditkit.auditing.checkpoints import MeasuredCheckpoint, measured_chain
from auditkit.auditing.context import Context
from auditkit.auditing.measured import Measured
from auditkit.auditing.progress import single
from auditkit.auditing.stage_evidence import DatasetChain, dataset_chain
from auditkit.files import replacing
from auditkit.report.stage_attribution import (
    ChainModel,
    DatasetStages,
    RecordStage,
    Spread,
    StageAttribution,
    StageLeak,
    StageStep,
)
from auditkit.scoring.stage_rises import UNNAMED
from auditkit.statistics.intervals import clopper_pearson

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
COLUMNS = ("dataset", "file", "line", "record", "learnt_at", "how", "first_out")


def stage_attribution(context: Context, baseline: Measured) -> StageAttribution:
    """Attack and read the chain that the policy declares, and name stages.

    What leaked is what any attack of the baseline reached, each dataset in its first view. Writes the whole lists
    beside the evidence.
    """
    chain = measured_chain(context, baseline)
    with single(context.progress, "tell the stages apart"):
        found = [dataset_chain(chain, data) for data in context.datasets]
        for one in found:
            _write_list(context, chain, one)
    context.log.append("stages_named", checkpoints=len(chain))
    return _section(context, chain, found)


def _section(context: Context, chain: Sequence[MeasuredCheckpoint], found: Sequence[DatasetChain]) -> StageAttribution:
    cap = max(1, context.policy.report.max_findings // len(found))
    return StageAttribution(
        checkpoints=[_model(context, one) for one in chain],
        under=[reading.under for reading in chain[0].readings],
        steps=[step for one in found if one.judged for step in _steps(chain, one)],
        datasets=[_dataset(chain, one) for one in found],
        leaks=_leaks([one for one in found if one.judged]),
        records=[_record(context, chain, one, row) for one in found for row in _rows(one)[:cap]],
        records_total=sum(int(one.leaked.sum()) for one in found),
        fewer=[one.checkpoint.name for one in chain if _generations(one) < _generations(chain[-1])],
    )


def _generations(one: MeasuredCheckpoint) -> int:
    return sum(attack.samples for attack in one.context.policy.prefix_attacks)


def _model(context: Context, one: MeasuredCheckpoint) -> ChainModel:
    known = {model.role: model.sha256 for model in context.state.models}
    name = one.checkpoint.name
    return ChainModel(
        name=name,
        stage=one.checkpoint.stage or "",
        sha256=known.get(role_of(name), known["candidate"]),
        generations=_generations(one),
    )


def _rows(one: DatasetChain) -> list[int]:
    """The leaked records, the clearest first: named ones by how far they rose in that step."""
    leaked = np.flatnonzero(one.leaked)
    clear = [_named_excess(one, int(row)) for row in leaked]
    return [int(row) for row in leaked[np.argsort(-np.array(clear), kind="stable")]]


def _named_excess(one: DatasetChain, row: int) -> float:
    place = int(one.named.checkpoint[row])
    if place == UNNAMED:
        return -np.inf
    excess = one.first if place == 0 else one.steps[place - 1]
    assert excess is not None
    return float(excess.excess[row])


def _record(context: Context, chain: Sequence[MeasuredCheckpoint], one: DatasetChain, row: int) -> RecordStage:
    record = one.data.members.records[row]
    place = int(one.named.checkpoint[row])
    how: Any = str(one.named.how[row])
    return RecordStage(
        dataset=one.data.name,
        record=record_id(context, one.data, record),
        file=record.file,
        line=record.line,
        checkpoint="" if place == UNNAMED else chain[place].checkpoint.name,
        how=how,
        first_out=chain[int(one.first_out[row])].checkpoint.name,
        rises=[_plain(step.rise[row]) for step in one.steps],
        excess=[_plain(step.excess[row]) for step in one.steps],
    )


def _plain(number: float) -> float | None:
    return round(float(number), 6) if np.isfinite(number) else None


def _steps(chain: Sequence[MeasuredCheckpoint], one: DatasetChain) -> Iterator[StageStep]:
    leaked, named = one.leaked, one.named.checkpoint
    for place, checkpoint in enumerate(chain):
        step = one.steps[place - 1] if place and one.steps else None
        yield StageStep(
            dataset=one.data.name,
            checkpoint=checkpoint.checkpoint.name,
            came_out=int((one.out[place] & leaked).sum()),
            controls_out=one.controls_out[place],
            named=int(((named == place) & leaked).sum()),
            first_out=int(((one.first_out == place) & leaked).sum()),
            control_rise=step.control_rise if step else None,
            excess=_spread(step.excess[leaked]) if step else Spread(),
            named_excess=_spread(step.excess[leaked & (named == place)]) if step else Spread(),
        )


def _spread(values: Floats) -> Spread:
    kept = values[np.isfinite(values)]
    if not kept.size:
        return Spread()
    return Spread(**{name: round(float(np.quantile(kept, share)), 6) for name, share in QUANTILES.items()})


def _dataset(chain: Sequence[MeasuredCheckpoint], one: DatasetChain) -> DatasetStages:
    named, how = one.named.checkpoint[one.leaked], one.named.how[one.leaked]
    counts: Any = Counter(str(each) for each in how)
    declared = one.data.section.stage
    stages = [each.checkpoint.stage for each in chain]
    agree = sum(stages[place] == declared for place in named if place != UNNAMED) if any(stages) else None
    return DatasetStages(
        dataset=one.data.name,
        stage=declared,
        leaked=len(named),
        named=int((named != UNNAMED).sum()),
        how=dict(sorted(counts.items())),
        agree=agree,
        reason=one.reason,
    )


def _leaks(found: Sequence[DatasetChain]) -> list[StageLeak]:
    """The stages that datasets are declared to be of, what leaks most per record first."""
    stages = dict.fromkeys(one.data.section.stage for one in found)
    leaks = [_leak(stage, [one for one in found if one.data.section.stage == stage]) for stage in stages]
    return sorted(leaks, key=lambda leak: -leak.rate)


def _leak(stage: str, datasets: Sequence[DatasetChain]) -> StageLeak:
    clusters = sum(len(np.unique(one.data.clusters)) for one in datasets)
    hit = sum(len(np.unique(one.data.clusters[one.leaked])) for one in datasets)
    low, high = clopper_pearson(hit, clusters)
    controls = [(one.controls_out[-1], len(one.data.evaluation)) for one in datasets]
    known = [(share, size) for share, size in controls if share is not None]
    return StageLeak(
        stage=stage,
        datasets=[one.data.name for one in datasets],
        records=sum(len(one.leaked) for one in datasets),
        records_leaked=sum(int(one.leaked.sum()) for one in datasets),
        clusters=clusters,
        clusters_leaked=hit,
        rate=hit / max(1, clusters),
        low=low,
        high=high,
        controls_rate=sum(share * size for share, size in known) / sum(size for _, size in known) if known else None,
    )


def _write_list(context: Context, chain: Sequence[MeasuredCheckpoint], one: DatasetChain) -> None:
    """One line a leaked record, with its place, and its rise and excess in each step."""
    steps = [each.checkpoint.name for each in chain[1:]]
    with (
        replacing(context.run.stages_file(one.data.name)) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow([*COLUMNS, *(f"{what}_{step}" for step in steps for what in ("rise", "excess"))])
        writer.writerows(_line(_record(context, chain, one, row)) for row in _rows(one))


def _line(record: RecordStage) -> list[str | int | float | None]:
    where: list[str | int | float | None] = [record.dataset, as_path(record.file), record.line, record.record]
    figures = (number for pair in zip(record.rises, record.excess, strict=True) for number in pair)
    return [*where, record.checkpoint, record.how, record.first_out, *figures]

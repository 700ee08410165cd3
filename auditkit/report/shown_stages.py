"""The section on training stages as the document shows it, and the sentences of the shorter forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auditkit.report import formatting
from auditkit.report.base import AuditReport
from auditkit.report.stage_attribution import DatasetStages, How, RecordStage, StageAttribution, StageLeak, StageStep
from auditkit.statistics.intervals import clopper_pearson

STAGE_WORDS = {"sft": "SFT", "dpo": "DPO", "rl": "RL", "midtrain": "mid-training"}
WHY: dict[How, str] = {
    "alone": "one step",
    "largest": "largest step",
    "attack": "first out",
    "before": "known before",
    "close": "too close",
    "none": "no rise",
    "unread": "not read",
}
UNCLEAR: dict[How, str] = {
    "close": "rose alike in two steps or more",
    "none": "rose in no step beyond 99 % of the controls",
    "unread": "could not be read",
}


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """One dataset: its leaked records by the checkpoint that they were named to, then why the others were not."""

    found: DatasetStages
    steps: list[StageStep]  # one a checkpoint
    unclear: list[tuple[str, int]]
    agreement: str


@dataclass(frozen=True, slots=True)
class ShownStages:
    """All of the section."""

    found: StageAttribution
    rows: list[DatasetRow]
    sentences: list[str]
    why: dict[How, str]
    prefixes: str
    shown: list[RecordStage]
    left_out: int


def shown_stages(report: AuditReport, most: int) -> ShownStages | None:
    """None where the policy declares no chain of checkpoints."""
    found = report.stages
    if found is None:
        return None
    words = {"template": "the chat template's opening", "bos": "the bare beginning of sequence"}
    return ShownStages(
        found=found,
        rows=[_row(found, dataset) for dataset in found.datasets],
        sentences=stage_sentences(report),
        why=WHY,
        prefixes=" and ".join(words.get(under, under) for under in found.under),
        shown=found.records[:most],
        left_out=found.records_total - min(most, len(found.records)),
    )


def _row(found: StageAttribution, dataset: DatasetStages) -> DatasetRow:
    return DatasetRow(
        found=dataset,
        steps=[step for step in found.steps if step.dataset == dataset.dataset],
        unclear=[(words, dataset.how[how]) for how, words in UNCLEAR.items() if dataset.how.get(how)],
        agreement=_share(dataset.agree, dataset.named) if dataset.agree is not None and dataset.named else "–",
    )


def _share(part: int, whole: int) -> str:
    low, high = clopper_pearson(part, whole)
    interval = f"{formatting.percent(low)} to {formatting.percent(high)}"
    return f"{part:,} of {whole:,} ({formatting.percent(part / whole)}; {interval})"


def stage_sentences(report: AuditReport) -> list[str]:
    """What the closing screen and the summary say of it: nothing where there is no chain."""
    found = report.stages
    return list(_sentences(found)) if found else []


def _sentences(found: StageAttribution) -> Iterator[str]:
    leaked = sum(one.leaked for one in found.datasets)
    if not leaked:
        if found.leaks:
            yield "No record leaked, so there is no stage to name."
        yield from (f"{one.dataset}: {one.reason}." for one in found.datasets if one.reason)
        return
    named = sum(one.named for one in found.datasets)
    counts = {one.name: 0 for one in found.checkpoints}
    for step in found.steps:
        counts[step.checkpoint] += step.named
    told = ", ".join(f"{count:,} at {name}" for name, count in counts.items() if count)
    unclear = f"; of {leaked - named:,} it is unclear" if leaked > named else ""
    yield f"Of {leaked:,} leaked records, the likelihoods name the stage: {told or 'of none'}{unclear}."
    declared = [one for one in found.datasets if one.agree is not None]
    if total := sum(one.named for one in declared):
        agreed = sum(one.agree or 0 for one in declared)
        yield f"The stage that the policy declares for their dataset is the one named in {_share(agreed, total)}."
    yield most_leaking(found.leaks)
    yield from (f"{one.dataset}: {one.reason}." for one in found.datasets if one.reason)
    if found.fewer:
        fewer = ", ".join(found.fewer)
        yield f"Attacked with fewer generations than the candidate, so that less came out of them: {fewer}."


def most_leaking(leaks: Sequence[StageLeak]) -> str:
    """Which stage's data leaks most per record, or that it cannot be told."""
    first = leaks[0]
    rates = "; ".join(f"{STAGE_WORDS.get(one.stage, one.stage)} {_rate(one)}" for one in leaks)
    if len(leaks) == 1:
        return f"Of the declared data, near-duplicates counted once, this leaks: {rates}."
    if first.low > max(one.high for one in leaks[1:]):
        return f"Data of the stage {STAGE_WORDS.get(first.stage, first.stage)} leaks most per record: {rates}."
    return f"Which stage's data leaks most per record cannot be told apart: {rates}."


def _rate(one: StageLeak) -> str:
    chance = (
        f", never-trained controls {formatting.percent(one.controls_rate)}" if one.controls_rate is not None else ""
    )
    return f"{formatting.percent(one.rate)} ({formatting.percent(one.low)} to {formatting.percent(one.high)}{chance})"

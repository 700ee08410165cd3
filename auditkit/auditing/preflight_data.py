"""What ``auditkit check`` says of the data: what there is, what nearly repeats what, what rules can show with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from auditkit.auditing.lengths import length_check
from auditkit.auditing.near_controls import near_prompts_sentence
from auditkit.auditing.prepare import PreparedDataset
from auditkit.corpus.identity import keyed_digest
from auditkit.policy.power import Sizes
from auditkit.report.base import RulePower

MOST_RECORDS = 200_000  # compared with one another: a check takes seconds, a run has the time
ENOUGH_POWER = 0.8


def sizes_of(data: PreparedDataset) -> Sizes:
    """Near-duplicates counted as one; where they were not looked for, exact duplicates only."""
    if not _too_many(data):
        return data.sizes()
    controls = len(data.controls.records) - data.controls.duplicates
    return Sizes(len(data.members.records) - data.members.duplicates, controls - controls // 2, controls // 2)


def dataset_facts(data: PreparedDataset, secret: bytes | None) -> Iterator[tuple[str, str]]:
    """Sections and sentences. Digests of files are keyed as in the lock, so that a log confirms no guess at them.

    ``secret``: the project's; None where no run has made it yet.
    """
    records, controls, sizes = len(data.members.records), len(data.controls.records), sizes_of(data)
    yield (
        "datasets",
        f"{data.name}: {records:,} records ({data.members.duplicates:,} exact duplicates, {sizes.clusters:,} "
        f"distinct), {controls:,} controls ({sizes.calibration_controls:,} distinct ones calibrate, "
        f"{sizes.evaluation_controls:,} evaluate)",
    )
    yield from (("near-duplicates", sentence) for sentence in _near_duplicates(data))
    for name, digest in {**data.members.file_digests, **data.controls.file_digests}.items():
        shown = keyed_digest(secret, "file", digest) if secret else "keyed once the first run has made the secret:"
        yield "digests", f"{shown}  {name}"


def _near_duplicates(data: PreparedDataset) -> Iterator[str]:
    if _too_many(data):
        yield (
            f"{data.name}: not looked for among more than {MOST_RECORDS:,} records; the run does, and is refused where "
            "a control nearly repeats a member"
        )
        return
    near = data.near_duplicates()
    if near.clusters:
        share = near.records / len(data.members.records)
        yield (
            f"{data.name}: {near.clusters:,} clusters of records (similarity {near.threshold:g} or more) hold "
            f"{share:.1%} of them, the largest {near.largest:,}"
        )
    else:
        yield f"{data.name}: no two records have a similarity of {near.threshold:g} or more"
    if near.control_clusters:
        yield (
            f"{data.name}: {near.control_clusters:,} clusters of controls hold {near.control_records:,} of them; each "
            "counts as one control"
        )
    if data.section.controls is not None:
        done = {"exclude": "left out", "keep": "kept", "refuse": "refused"}[near.near_controls]
        yield f"{data.name}: {near.controls:,} controls nearly repeat a member{f', {done}' * bool(near.controls)}"


def dataset_warnings(data: PreparedDataset) -> Iterator[str]:
    """What makes figures on this dataset worth less."""
    if not data.controls.records:
        yield f"{data.name} has no controls: nothing can be calibrated or adjusted"
        return
    if data.near_controls and data.section.near_controls == "keep":
        yield f"{data.name} keeps {data.near_controls:,} controls that nearly repeat a member: no rule on it can pass"
    if data.near_prompts:
        said = near_prompts_sentence(data.members, data.controls, data.near_prompts)
        yield f"{data.name}: {said}: no rule on the prompt view can pass; take them out of the controls"
    longer = None if _too_many(data) else length_check(data, data.views[0])
    if longer and longer.differ:
        yield (
            f"{data.name}: members and controls differ in length (medians {longer.members:,.0f} and "
            f"{longer.controls:,.0f} characters), which scores depend on: read the length-matched figures too"
        )


def _too_many(data: PreparedDataset) -> bool:
    return max(len(data.members.records), len(data.controls.records)) > MOST_RECORDS


def _at_best(power: RulePower) -> str:
    return f" ({power.note})" if power.note and power.to_detect_80 else ""


def weak_rules(powers: Iterable[RulePower]) -> Iterator[str]:
    """The rules that can pass, and yet would hardly see twice what they allow."""
    for power in powers:
        if power.detects is None or power.detects >= ENOUGH_POWER or (power.declared or 0) < (power.to_pass or 0):
            continue
        takes = f"80 % takes {power.to_detect_80:,}" if power.to_detect_80 else power.note
        yield (
            f"{power.metric} on {power.dataset}: with {power.declared:,} {power.unit} a true {2 * power.limit:g}, "
            f"twice the limit, would fail in {power.detects:.0%} of audits only{_at_best(power)}; {takes}"
        )

"""``auditkit lab stages``: does the audit name the stage that truly taught a model what it leaks?

A family's ledger says which stage read which record. The family is audited with its own checkpoints as the chain, and
what is named is held against that, record by record.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit import __version__
from auditkit.auditing.progress import Progress, Silent
from auditkit.auditing.provenance import code_sha256
from auditkit.errors import AuditkitError
from auditkit.files import make_folder, write_bytes
from auditkit.lab.calibrate import machine_of
from auditkit.lab.calibration_run import CalibrationRun, audit_family
from auditkit.lab.calibration_truth import FamilyInfo, read_family
from auditkit.lab.family_policy import policy_text
from auditkit.lab.own_policy import own_sections
from auditkit.report import formatting
from auditkit.report.part import Part
from auditkit.statistics.intervals import clopper_pearson

FILE_NAME, TABLE, POLICY = "stages.json", "stages.md", "stages.yaml"
ENOUGH = 0.9  # of the leaked records
STAGE_OF = {"pretrain": None, "sft": "sft", "dpo": "dpo", "grpo": "rl"}


class NamedRight(Part):
    """Leaked records of one kind: to how many a stage was named, and to how many the right one."""

    dataset: str  # "" is all of them
    group: str  # "" is all of them; "seen 64 times"
    leaked: int
    named: int
    right: int

    @property
    def share(self) -> float:
        """Of the leaked records."""
        return self.right / self.leaked if self.leaked else 0.0

    @property
    def of_named(self) -> float:
        """Of those that a stage was named to."""
        return self.right / self.named if self.named else 0.0


class LabStages(Part):
    """The result of ``lab stages``."""

    family: str
    recipe_sha256: str
    family_seed: int
    chain: list[str]
    run: str
    rows: list[NamedRight]  # the first is everything
    how: dict[str, dict[str, int]]  # how a stage was named -> right, wrong, not named
    passed: bool  # right in at least 90 % of the leaked records
    auditkit_version: str
    code_sha256: str
    machine: dict[str, str]


@dataclass(frozen=True)
class _Verdict:
    """One leaked record."""

    dataset: str
    repeats: int
    how: str
    named: str
    true: tuple[str, ...]

    @property
    def right(self) -> bool:
        return self.named in self.true


def stage_check(family: Path, out: Path, samples: int = 1, progress: Progress | None = None) -> LabStages:
    """Audit a family with its checkpoints, and count how often the right stage is named; stages.json and stages.md.

    Args:
        family: a folder that ``lab build`` made.
        out: where to write; the audit goes to ``out``/runs, and is gone on with where it was begun there.
        samples: generations of the main attack, at least.
        progress: told of every stage.

    Raises:
        AuditkitError: no such family, or as for a run.
    """
    info = read_family(family)
    make_folder(out)
    run = audit_family(_policy(info, out), out / "runs", samples, progress or Silent())
    verdicts = _verdicts(info, run)
    rows = _rows(verdicts)
    found = LabStages(
        family=info.name,
        recipe_sha256=info.recipe_sha256,
        family_seed=info.seed,
        chain=[one.name for one in run.report.stages.checkpoints] if run.report.stages else [],
        run=run.folder.id,
        rows=rows,
        how=_how(verdicts),
        passed=rows[0].leaked > 0 and rows[0].share >= ENOUGH,
        auditkit_version=__version__,
        code_sha256=code_sha256(),
        machine=machine_of(run),
    )
    write_bytes(out / FILE_NAME, found.model_dump_json(indent=1).encode() + b"\n")
    write_bytes(out / TABLE, markdown(found).encode())
    return found


def _policy(info: FamilyInfo, out: Path) -> Path:
    """The family's own policy with its chain; without probes, which name no stage."""
    sections = own_sections(info)
    stages = json.loads((info.folder / "family.json").read_bytes())["stages"]
    first = max((place for place, stage in enumerate(stages) if stage["kind"] == "pretrain"), default=None)
    chain = [_checkpoint(info, sections, stage) for stage in stages[first or 0 :]]
    if first is None:
        chain.insert(0, _checkpoint(info, sections, {"name": "base", "kind": "pretrain", "model": "models/base"}))
    sections |= {"name": f"{sections['name']}-stages", "checkpoints": chain, "probes": []}
    heading = "# Written by auditkit lab stages: the family's own policy, with its checkpoints."
    return write_bytes(out / POLICY, policy_text(heading, sections).encode())


def _checkpoint(info: FamilyInfo, sections: Mapping[str, Any], stage: Mapping[str, Any]) -> dict[str, Any]:
    path = str(info.folder.resolve() / stage["model"])
    named = {"stage": known} if (known := STAGE_OF[stage["kind"]]) else {}
    return {"name": stage["name"], **named, "model": {**sections["models"]["candidate"], "path": path}}


def _verdicts(info: FamilyInfo, run: CalibrationRun) -> list[_Verdict]:
    """Every leaked record of every dataset: what the run's list says of it, and the truth."""
    truth = _read_by(info.folder / "data" / "ledger.jsonl")
    found = []
    for data in run.policy.datasets:
        rows = Path(data.path).read_text("utf-8").split("\n")
        with run.folder.stages_file(data.name).open(encoding="utf-8", newline="") as stream:
            for line in csv.DictReader(stream):
                row = int(line["line"]) - 1
                stages = truth.get((data.name, row), ())
                repeats = int(json.loads(rows[row])["repeats"])
                found.append(_Verdict(data.name, repeats, line["how"], line["learnt_at"], stages))
    return found


def _read_by(ledger: Path) -> dict[tuple[str, int], tuple[str, ...]]:
    """Which stages trained on each row of each dataset."""
    found: dict[tuple[str, int], tuple[str, ...]] = {}
    try:
        lines = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
    except (OSError, ValueError):
        raise AuditkitError(f"{ledger} is missing or damaged", "give a family that `lab build` made") from None
    for line in lines:
        key = (line["dataset"], line["row"])
        found[key] = (*found.get(key, ()), line["stage"])
    return found


def _rows(verdicts: Sequence[_Verdict]) -> list[NamedRight]:
    rows = [_row(verdicts, "", "")]
    for dataset in dict.fromkeys(one.dataset for one in verdicts):
        of_dataset = [one for one in verdicts if one.dataset == dataset]
        rows.append(_row(of_dataset, dataset, ""))
        for repeats in sorted({one.repeats for one in of_dataset}):
            label = f"seen {repeats} time{'s' if repeats > 1 else ''}"
            rows.append(_row([one for one in of_dataset if one.repeats == repeats], dataset, label))
    return rows


def _row(verdicts: Sequence[_Verdict], dataset: str, group: str) -> NamedRight:
    named, right = sum(bool(one.named) for one in verdicts), sum(one.right for one in verdicts)
    return NamedRight(dataset=dataset, group=group, leaked=len(verdicts), named=named, right=right)


def _how(verdicts: Sequence[_Verdict]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for one in verdicts:
        outcome = "right" if one.right else ("wrong" if one.named else "not named")
        counts = found.setdefault(one.how, {"right": 0, "wrong": 0, "not named": 0})
        counts[outcome] += 1
    return found


def markdown(found: LabStages) -> str:
    """The result as a page."""
    everything = found.rows[0]
    word = "at least 90 %, as asked" if found.passed else "less than the 90 % that are asked for"
    head = (
        f"The chain {' → '.join(found.chain)} of the family {found.family} (seed {found.family_seed}): the stage is "
        f"named right in {everything.right:,} of {everything.leaked:,} leaked records, {_interval(everything)}; {word}."
    )
    table = ["| Dataset | Records | Leaked | Named | Right | Right of leaked (95 %) | Right of named |"]
    table += ["| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    table += [
        f"| {one.dataset or 'all'} | {one.group or 'all'} | {one.leaked:,} | {one.named:,} | {one.right:,} | "
        f"{_interval(one)} | {formatting.percent(one.of_named) if one.named else '–'} |"
        for one in found.rows
    ]
    how = ["| How | Right | Wrong | Not named |", "| --- | ---: | ---: | ---: |"]
    how += [f"| {name} | {c['right']:,} | {c['wrong']:,} | {c['not named']:,} |" for name, c in found.how.items()]
    return "\n".join([head, "", *table, "", *how]) + "\n"


def _interval(one: NamedRight) -> str:
    if not one.leaked:
        return "–"
    low, high = clopper_pearson(one.right, one.leaked)
    return f"{formatting.percent(one.share)} ({formatting.percent(low)} to {formatting.percent(high)})"

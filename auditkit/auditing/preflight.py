"""What can be known before a run: every problem at once, and what the run would take. No model is opened."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from auditkit.auditing.arms import arm_attacker
from auditkit.auditing.calibrate import fixed_for_another
from auditkit.auditing.check_arms import arm_problems, arm_warnings, missing_extras
from auditkit.auditing.check_worth import (
    check_worth_data,
    check_worth_files,
    few_controls,
    missing_for_worth,
    what_worth_takes,
)
from auditkit.auditing.embedding import most_characters
from auditkit.auditing.gate_check import check_gate
from auditkit.auditing.history import registration_fact
from auditkit.auditing.policy_lines import problem_at
from auditkit.auditing.preflight_data import MOST_RECORDS, dataset_facts, dataset_warnings
from auditkit.auditing.preflight_waivers import waivers_told
from auditkit.auditing.prepare import PreparedDataset, prepare_dataset
from auditkit.auditing.publish import check_formats, check_scoring, signing_keys, timestamp_of
from auditkit.auditing.reading_plan import readings_of
from auditkit.auditing.secret import secret_if_known
from auditkit.auditing.serving_costs import what_it_costs, what_it_is_sent
from auditkit.auditing.spending import unreached
from auditkit.auditing.worth_filter import what_the_judge_costs
from auditkit.auditing.worth_plan import valued_attack
from auditkit.errors import AuditkitError, Problem, ProblemsError
from auditkit.models.base import ModelPreflight
from auditkit.policy.load import weaker_than_preset
from auditkit.policy.schema import Policy, Worth
from auditkit.records import ModelIdentity
from auditkit.report.base import RulePower
from auditkit.signing.pdf_timestamp import host_of

BYTES_PER_TOKEN = 8  # ids, text and matches of a generated token, as measured on Parquet evidence
BYTES_PER_TOKEN_READ = 12  # id, log-probability and moments, compressed
CHARACTERS_PER_TOKEN = 4
GENERATION_EFFICIENCY = 0.25  # of what a plain matrix product reaches on the same machine
READING_EFFICIENCY = 0.5


@dataclass
class Preflight:
    """Everything that ``auditkit check`` tells."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, list[str]] = field(default_factory=dict)
    powers: list[RulePower] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def tell(self, section: str, sentence: str) -> None:
        """Add a fact under a heading."""
        self.facts.setdefault(section, []).append(sentence)


def preflight(policy: Policy, out: Path) -> Preflight:
    """Check everything that can be checked without opening a model."""
    found = Preflight()
    found.warnings += [*weaker_than_preset(policy), *unreached(policy)]
    if not (policy.release.organisation and policy.release.auditor):
        found.warnings.append("release names no organisation or no auditor: the report will say so on page one")
    datasets = _datasets(policy, found)
    parameters = _models(policy, found)
    _waivers(policy, found)
    _gate(policy, datasets, found)
    _arms(policy, found)
    _worth(policy, datasets, parameters, found)
    _output(policy, found)
    _scoring(policy, found)
    _needs(policy, datasets, parameters, out, found)
    _what_leaves(policy, found)
    _registration(policy, found)
    return found


def _registration(policy: Policy, found: Preflight) -> None:
    try:
        found.tell("registration", registration_fact(policy))
    except AuditkitError as error:
        found.problems.append(problem_at(policy, "report.sign", error))


def _datasets(policy: Policy, found: Preflight) -> list[PreparedDataset]:
    read = []
    secret = secret_if_known(policy)
    for position, section in enumerate(policy.datasets):
        if section.path.startswith("hub://") or (section.controls or "").startswith("hub://"):
            found.warnings.append(
                f"{section.name} comes from a hub: its records and controls are checked when it is run"
            )
            continue
        try:
            data = prepare_dataset(section, policy.scoring.string_threshold, b"check", MOST_RECORDS)
        except ProblemsError as error:
            found.problems += error.problems
            continue
        except AuditkitError as error:
            found.problems.append(problem_at(policy, f"datasets.{position}.path", error))
            continue
        read.append(data)
        for heading, sentence in dataset_facts(data, secret):
            found.tell(heading, sentence)
        found.warnings += dataset_warnings(data)
    return read


def _models(policy: Policy, found: Preflight) -> int:
    """Tell of each declared model; the candidate's parameters (0 where unknown)."""
    parameters = 0
    for role, backend in (("candidate", policy.models.candidate), ("base", policy.models.base)):
        if backend is None:
            continue
        try:
            model = backend.preflight(role)
        except AuditkitError as error:
            found.problems.append(problem_at(policy, f"models.{role}", error))
            continue
        found.warnings += [f"{role}: {warning}" for warning in model.warnings]
        if model.identity:
            found.tell("models", f"{role}: {_what_it_is(model.identity)}")
            if model.identity.signature.state == "verified":
                found.tell("models", f"{role}: signature verified, by {model.identity.signature.signer}")
            parameters = parameters or model.identity.parameters
        if role == "candidate" and model.identity:
            _prefixes(policy, model, found)
    return parameters


def _what_it_is(model: ModelIdentity) -> str:
    if model.weights == "unseen":
        return f"{model.source}; weights not seen, sha256 of the address {model.sha256}"
    return f"{model.parameters:,} parameters, sha256 {model.sha256}"


def _prefixes(policy: Policy, model: ModelPreflight, found: Preflight) -> None:
    from auditkit.models.chat_template import template_prefix

    if not any(attack.kind == "template_prefix" for attack in policy.prefix_attacks):
        return
    if model.chat_template is None:
        error = AuditkitError("the candidate carries no chat template", "give the attack a prefix: {literal: ...}")
        found.problems.append(problem_at(policy, "models.candidate", error))
        return
    for label, system in (("with the template's default system text", None), ("without a system turn", "")):
        try:
            prefix = template_prefix(
                model.chat_template,
                bos_token=model.bos_token,
                eos_token=model.eos_token,
                system=system,
                date=model.template_date,
            )
            found.tell("prefix", f"{label}: {prefix!r}")
        except AuditkitError as error:
            found.problems.append(problem_at(policy, "models.candidate", error))


def _gate(policy: Policy, datasets: list[PreparedDataset], found: Preflight) -> None:
    gate = check_gate(policy, datasets)
    found.problems += gate.problems
    found.powers = list(gate.powers)
    found.warnings += gate.warnings


def _arms(policy: Policy, found: Preflight) -> None:
    """Who attacks which arm; what an arm lacks."""
    found.problems += arm_problems(policy)
    found.warnings += arm_warnings(policy)
    for arm in policy.arms:
        attacker = arm_attacker(arm, policy.release.attacker)
        found.tell("arms", f"{arm.label}: {arm.kind}, acts on {arm.acts_on}, attacked as {attacker}")
    for position, section in enumerate(policy.mitigations):
        try:
            section.check(policy.models.candidate)
        except ProblemsError as error:
            found.problems += error.problems
        except AuditkitError as error:
            found.problems.append(problem_at(policy, f"mitigations.{position}", error))
    for what, extra in missing_extras(policy):
        found.warnings.append(f"{what} is not installed: pip install 'auditkit[{extra}]'")


def _worth(policy: Policy, datasets: list[PreparedDataset], parameters: int, found: Preflight) -> None:
    """What it would train and ask, or what keeps it from that."""
    if policy.worth is None:
        return
    for what, extra in missing_for_worth(policy):
        found.warnings.append(f"{what} is not installed: pip install 'auditkit[{extra}]'")
    try:
        check_worth_files(policy, policy.worth)
        check_worth_data(policy, datasets)
    except ProblemsError as error:
        found.problems += error.problems
        return
    found.warnings += filter(None, [few_controls(policy, datasets)])
    told, work = what_worth_takes(policy, datasets, parameters)
    if work:
        told += f", very roughly {_duration(work / _matrix_flops() / 3600)} on this machine's processor"
    found.tell("needs", told)
    _judge(policy, policy.worth, found)


def _judge(policy: Policy, section: Worth, found: Preflight) -> None:
    """What a judge that is served may cost: at most, every generation of every budget reaches it."""
    attack, judge = valued_attack(policy, section), section.filter.judge
    if attack is None or judge is None:
        return
    told, warning = what_the_judge_costs(judge, attack.samples)
    found.warnings += [warning] if warning else []
    if told:
        found.tell("needs", told)


def _waivers(policy: Policy, found: Preflight) -> None:
    """Which are in force, and which count for nothing."""
    try:
        facts, warnings = waivers_told(policy)
        for sentence in facts:
            found.tell("waivers", sentence)
        found.warnings += warnings
    except AuditkitError as error:
        found.problems.append(problem_at(policy, "waivers", error))


def _output(policy: Policy, found: Preflight) -> None:
    for check in (check_formats, signing_keys):
        try:
            check(policy)
        except AuditkitError as error:
            found.problems.append(problem_at(policy, "report", error))


def _scoring(policy: Policy, found: Preflight) -> None:
    """A policy may be checked on another machine than the one that runs it: `run` refuses what is told here."""
    if fixed_for_another(policy):
        found.warnings.append(
            f"scoring.semantic_threshold: {policy.scoring.semantic_threshold:g} was not published for the embedder "
            f"{policy.scoring.embedder.kind}: calibrate it, or let controls show what reaches it"
        )
    try:
        check_scoring(policy)
    except AuditkitError as error:
        found.warnings.append(f"scoring: {error.message}; {error.hint}")


def _needs(policy: Policy, datasets: list[PreparedDataset], parameters: int, out: Path, found: Preflight) -> None:
    """Disk, time and money, each said to be an estimate."""
    arms = 1 + len(policy.arms)  # the attacks of those who know a mitigation come on top: the mitigation says which
    tokens = arms * sum(attack.samples * attack.max_new_tokens for attack in policy.prefix_attacks)
    read = _tokens_read(policy, datasets)
    space = tokens * BYTES_PER_TOKEN + read * BYTES_PER_TOKEN_READ
    existing = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    found.tell("needs", f"disk: at most about {space / 1e9:.2f} GB in {out}, where {free / 1e9:.0f} GB are free")
    if space > free:
        error = AuditkitError(
            f"{out} has room for {free / 1e9:.1f} GB, and the run may take {space / 1e9:.1f} GB",
            "choose another folder with --out",
        )
        found.problems.append(problem_at(policy, "attacks", error))
    if parameters:
        work = 2 * parameters * (tokens / GENERATION_EFFICIENCY + read / READING_EFFICIENCY)
        hours = work / _matrix_flops() / 3600
        work_told = f"time: up to {tokens:,} tokens written and about {read:,} read"
        if arms > 1:
            work_told += f" over {arms} arms; training, and attacks that know a mitigation, not counted"
        found.tell("needs", f"{work_told}, very roughly {_duration(hours)} on this machine's processor")
    for sentence, warning in what_it_costs(policy, datasets):
        found.tell("needs", sentence)
        found.warnings += [warning] if warning else []
    characters = most_characters(policy, datasets)
    cost = policy.scoring.embedder.estimated_cost(characters)
    if cost:
        found.tell("needs", f"money: at most about {cost:,.2f} US dollars for {characters:,} characters to embed")


def _tokens_read(policy: Policy, datasets: list[PreparedDataset]) -> int:
    """Tokens that the likelihood probes read, every pass over members and controls counted; about 4 characters each."""
    passes = 0
    for reading in readings_of(policy):
        # "both" openings of a template are two prefixes; more is not known before the model is there.
        passes += 2 if reading.under.startswith("attack:") else 1
    sides = (corpus for data in datasets for corpus in (data.members, data.controls))
    characters = sum(len(text) for corpus in sides for text in corpus.texts("record"))
    return passes * characters // CHARACTERS_PER_TOKEN


def _matrix_flops() -> float:
    """Floating-point operations a second of a plain float32 matrix product, measured in a few milliseconds."""
    matrix = np.ones((768, 768), np.float32)
    matrix @ matrix
    started = time.perf_counter()
    for _ in range(4):
        matrix @ matrix
    return 4 * 2 * 768**3 / (time.perf_counter() - started)


def _duration(hours: float) -> str:
    if hours < 1 / 60:
        return "under a minute"
    return f"{max(2, hours * 60):.0f} minutes" if hours < 2 else f"{hours:,.0f} hours"


def _what_leaves(policy: Policy, found: Preflight) -> None:
    sent = []
    if policy.scoring.embedder.external:
        leaving = [section.name for section in policy.datasets if section.external_processing == "allow"]
        sent.append(f"texts of {', '.join(leaving)} and all generations are sent to {policy.scoring.embedder.kind}")
    sent += what_it_is_sent(policy)
    if (authority := timestamp_of(policy)) and "pdf" in policy.report.formats:
        sent.append(
            f"a digest of each PDF report's signature is sent to {host_of(authority)}, which learns that something was "
            f"signed, when, and from where; no text{' of the data' if sent else ''} goes there"
        )
    for sentence in sent or ["nothing leaves this machine"]:
        found.tell("privacy", sentence)

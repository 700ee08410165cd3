"""The arms: each mitigation made, put in front of its attacker, attacked as the baseline was, and compared with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from auditkit.attacks.base import Attack
from auditkit.auditing.arm_doubts import weaker_attacks, with_weak_attacks
from auditkit.auditing.changes import leakage_changes, utility_changes
from auditkit.auditing.context import Context
from auditkit.auditing.doubts import doubts
from auditkit.auditing.embedding import opened_embedding
from auditkit.auditing.generate import generate
from auditkit.auditing.measured import Measured, arm_estimates, probe_estimates, withheld
from auditkit.auditing.open_model import OpenModel
from auditkit.auditing.probing import Probed, ask_base, ask_candidate, measure
from auditkit.auditing.progress import Within, single
from auditkit.auditing.recorded import RecordedModel
from auditkit.auditing.score import score
from auditkit.auditing.utility import Utility, measured_utility, read_utility, write_utility
from auditkit.auditing.viability import viability
from auditkit.auditing.workshop import workshop
from auditkit.errors import AuditkitError, MitigationFailedError, ModelError
from auditkit.files import make_folder, write_bytes
from auditkit.mitigations.base import Made, Mitigation, Workshop
from auditkit.models.base import LanguageModel
from auditkit.policy.schema import Policy
from auditkit.probes.base import ModelProbe, Probe
from auditkit.records import ATTACKERS, Attacker
from auditkit.report.arms import Change
from auditkit.report.base import Arm

UNWRITTEN = (
    "What this costs shows only in what the model writes, and nothing that it writes was asked for: declare a dataset "
    "with verifiable answers (trace), or utility.lm_eval."
)
SAME_WEIGHTS = "the weights are the baseline's, and so is what the probes say of them"


def run_arms(context: Context, baseline: Measured) -> list[Measured]:
    """Every declared mitigation, one after the other; what an earlier process finished is taken from disk."""
    arms = context.policy.arms
    return [
        _run_arm(_told_as(context, f"arm {place} of {len(arms)}: {mitigation.label}"), mitigation, baseline)
        for place, mitigation in enumerate(arms, 1)
    ]


def _told_as(context: Context, arm: str) -> Context:
    """The run with its progress told as this arm's."""
    return replace(context, progress=Within(context.progress, arm))


def arm_attacker(mitigation: Mitigation, release: Attacker) -> Attacker:
    """The planned release's attacker, or the strongest that the mitigation means anything against."""
    if mitigation.attacker is not None:
        return mitigation.attacker
    if release in mitigation.withstands:
        return release
    return next(attacker for attacker in ATTACKERS if attacker in mitigation.withstands)


def meaningless(mitigation: Mitigation, release: Attacker) -> str:
    """Why an arm says nothing of the planned release; "" where its attacker is at least as strong as the release's."""
    attacker = arm_attacker(mitigation, release)
    if ATTACKERS.index(attacker) <= ATTACKERS.index(release):
        return ""
    words = {
        "open_weights": "whoever has the weights leaves it out",
        "raw_api": "whoever chooses the whole text of a prompt goes around it",
        "chat_api": "",
    }
    return f"{mitigation.label} is attacked as {attacker}, and the release invites {release}: {words[release]}."


def attacks_of(attacks: Sequence[Attack], attacker: Attacker) -> list[Attack]:
    """Those that this attacker can make."""
    return [attack for attack in attacks if attack.can_be_made_by(attacker)]


def _run_arm(context: Context, mitigation: Mitigation, baseline: Measured) -> Measured:
    failure = make_folder(context.run.of_arm(mitigation.label).evidence) / "failed.json"
    if not failure.exists():
        try:
            return _measured(context, mitigation, baseline)
        except (MitigationFailedError, ModelError) as error:
            # Said once, and not tried again by a run that is resumed: the same would come of it.
            write_bytes(failure, json.dumps(error.message).encode())
            context.log.append("arm_failed", arm=mitigation.label)
            context.progress.note(f"arm {mitigation.label} failed: {error.message}")
    return Measured(context, _described(context, mitigation, failed=json.loads(failure.read_bytes())))


def _measured(context: Context, mitigation: Mitigation, baseline: Measured) -> Measured:
    """Make, attack, read, score one arm."""
    assert baseline.scores is not None and baseline.utility is not None
    with (
        opened_embedding(
            context.policy, context.secret, context.log, context.progress, context.workers("embed")
        ) as embedding,
        workshop(context, mitigation, baseline, embedding) as shop,
    ):
        with single(context.progress, "make it"):
            made = mitigation.make(shop)
        _same_as_begun(context, mitigation, made)
        context.log.append("arm_made", arm=mitigation.label, kind=mitigation.kind)
        inside = _arm_context(context, mitigation, made, shop)

        def served(model: LanguageModel) -> LanguageModel:
            known = model if mitigation.changes_weights else RecordedModel(model, baseline.context)
            return mitigation.serve(known, shop)

        bare = mitigation.changes_weights and type(mitigation).serve is Mitigation.serve
        server = None if bare else served
        with OpenModel(made.backend, "candidate", server, probed_bare=mitigation.probed_bare) as opened:
            generate(inside, opened)
            if mitigation.changes_weights:
                ask_candidate(inside, opened)
            utility = _utility(inside, opened, mitigation, shop)
    probed = _probed(inside, opened, baseline) if mitigation.changes_weights else []
    scores = score(inside, baseline.scores.calibrations)
    found = arm_estimates(inside, scores, probed)
    if not mitigation.changes_weights:
        found += probe_estimates(baseline.probed)
    changes = list(utility_changes(baseline.arm, baseline.utility, utility, context.policy.seed))
    viable, reasons = viability(context.policy.utility, changes, utility.own)
    if viable == "viable" and mitigation.costs_when_writing and not any(map(_of_writing, changes)):
        viable, reasons = "unknown", [UNWRITTEN]
    arm = _described(context, mitigation, made).model_copy(
        update={
            "estimates": found,
            "utility": utility.estimates(context.policy.seed),
            "viability": viable,
            "viability_reasons": reasons,
            "attack_kinds": _attack_kinds(inside, context),
            "prompts_only": [a.label for a in inside.policy.prefix_attacks if not a.whole_records],
            "generations": {attack.label: attack.samples for attack in inside.policy.prefix_attacks},
            "withheld": dict(withheld(inside)),
        }
    )
    arm = arm.model_copy(update={"weaker": weaker_attacks(arm, mitigation)})
    found_doubts = doubts(inside.policy, inside.datasets, scores)
    return Measured(inside, arm, scores, probed, utility, with_weak_attacks(found_doubts, inside, arm, mitigation))


def _of_writing(change: Change) -> bool:
    return change.metric == "task_accuracy" or change.metric.startswith("lm_eval:")


def _same_as_begun(context: Context, mitigation: Mitigation, made: Made) -> None:
    """An arm is of one set of weights from beginning to end.

    Raises:
        AuditkitError: an earlier process attacked others.
    """
    path = context.run.of_arm(mitigation.label).evidence / "weights.json"
    sha256 = _weights_sha256(mitigation, made)
    if not path.exists():
        write_bytes(path, json.dumps(sha256).encode())
    elif json.loads(path.read_bytes()) != sha256:
        what = f"the weights of the arm {mitigation.label} changed since it was begun"
        raise AuditkitError(what, "put back what was there, or start a new run: auditkit run POLICY")


def _arm_context(context: Context, mitigation: Mitigation, made: Made, shop: Workshop) -> Context:
    """The run as this arm sees it: its attacker's attacks, and those of somebody who knows the mitigation."""
    policy = context.policy
    attacker = arm_attacker(mitigation, policy.release.attacker)
    able = attacks_of(policy.prefix_attacks, attacker)
    known = attacks_of(mitigation.adaptive(able, shop), attacker)
    adaptive = _apart(known, policy, mitigation.adaptive_samples)
    if not able and not adaptive:
        raise MitigationFailedError(
            f"no attack of the policy can be made by {attacker}", "add one: - {kind: chat_messages, samples: 1000}"
        )
    others = [attack for attack in policy.attacks if not isinstance(attack, Attack)]
    probes = [probe for probe in policy.probes if mitigation.has_gradients or "gradients" not in _needs(probe)]
    update = {
        "models": policy.models.model_copy(update={"candidate": made.backend}),
        "attacks": [*able, *adaptive, *(others if mitigation.changes_weights else [])],
        "probes": probes if mitigation.changes_weights else [],
        "mitigations": [],
    }
    inside = policy.model_copy(update=update)
    inside._source = policy._source
    run = context.run.of_arm(mitigation.label)
    make_folder(run.work)
    return replace(context, policy=inside, run=run)


def _apart(attacks: Sequence[Attack], policy: Policy, most: int | None) -> list[Attack]:
    """Adaptive attacks of no more samples than asked for, under names that nothing else has."""
    taken = {known.label for known in policy.prefix_attacks}
    found = []
    for attack in attacks:
        name = attack.label
        while name in taken:
            name = f"x.{name}"[:40] if len(name) < 38 else f"{len(taken)}.{name}"[:40]
        taken.add(name)
        found.append(attack.model_copy(update={"name": name, "samples": min(attack.samples, most or attack.samples)}))
    return found


def _needs(probe: Probe) -> frozenset[str]:
    return frozenset(probe.needs) if isinstance(probe, ModelProbe) else frozenset()


def _attack_kinds(inside: Context, context: Context) -> dict[str, str]:
    known = {attack.label for attack in context.policy.prefix_attacks}
    return {a.label: "plain" if a.label in known else "adaptive" for a in inside.policy.prefix_attacks}


def _utility(inside: Context, opened: OpenModel, mitigation: Mitigation, shop: Workshop) -> Utility:
    path = inside.run.utility_file()
    if not path.exists():
        own = mitigation.utility(opened.model, shop)
        write_utility(path, measured_utility(inside, opened.model, own))
        inside.log.append("utility_measured", arm=inside.arm)
    return read_utility(path)


def baseline_utility(context: Context, opened: OpenModel) -> Utility | None:
    """What arms are compared with; None where there is no arm."""
    if not context.policy.mitigations:
        return None
    path = context.run.utility_file()
    if not path.exists():
        write_utility(path, measured_utility(context, opened.model, ()))
        context.log.append("utility_measured", arm=context.arm)
    return read_utility(path)


def _probed(inside: Context, opened: OpenModel, baseline: Measured) -> list[Probed]:
    """The probes on the arm's own weights; what the base model says was read once for the baseline."""
    _share_base(inside, baseline.context)
    ask_base(inside, opened)
    return measure(inside, opened)


def _share_base(inside: Context, baseline: Context) -> None:
    """Take over what the base model said, where the arm's records stand behind the same text in the same turns."""
    mine, theirs = inside.run.prefixes_file(), baseline.run.prefixes_file()
    if not (mine.exists() and theirs.exists()):
        return
    here, there = json.loads(mine.read_bytes()), json.loads(theirs.read_bytes())
    shared = all(here["prefixes"].get(under) == prefixes for under, prefixes in there["prefixes"].items())
    if shared and here["turns"] == there["turns"]:
        for path in baseline.run.evidence.glob("likelihoods-base+*.parquet"):
            with suppress(FileExistsError):
                os.link(path, inside.run.evidence / path.name)


def _described(context: Context, mitigation: Mitigation, made: Made | None = None, failed: str = "") -> Arm:
    """What can be said of an arm whatever came of it."""
    release = context.policy.release.attacker
    return Arm(
        name=mitigation.label,
        mitigation=mitigation.kind,
        attacker=arm_attacker(mitigation, release),
        estimates=[],
        acts_on=mitigation.acts_on,
        summary=mitigation.summary,
        source=mitigation.source,
        parameters=_parameters(context, mitigation),
        facts=list(made.facts) if made else [],
        failed=failed,
        meaningless=meaningless(mitigation, release),
        viability="not_viable" if failed else "viable",
        weights_sha256=_weights_sha256(mitigation, made) if made else "",
        probes_reason="" if mitigation.changes_weights or failed else SAME_WEIGHTS,
    )


def _parameters(context: Context, mitigation: Mitigation) -> dict[str, object]:
    """As declared; paths as seen from the policy's folder."""
    folder = str(context.policy.source.file.parent)
    text = json.dumps(mitigation.declared).replace(f"{folder}/", "")
    return dict(json.loads(text))


def _weights_sha256(mitigation: Mitigation, made: Made) -> str:
    if not mitigation.changes_weights:
        return ""
    identity = made.backend.preflight("candidate").identity
    return identity.sha256 if identity else ""


def all_changes(baseline: Measured, arms: Sequence[Measured], seed: int) -> Iterator[Change]:
    """Every arm that was measured against the baseline: leakage, then costs."""
    for one in arms:
        if one.utility is None or baseline.utility is None:
            continue
        yield from leakage_changes(baseline.arm, one.arm)
        yield from utility_changes(one.arm, baseline.utility, one.utility, seed)

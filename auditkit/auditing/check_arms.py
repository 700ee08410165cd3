"""What would keep an arm from being made or attacked, said before anything is run."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from auditkit.auditing.arms import arm_attacker, attacks_of, meaningless
from auditkit.auditing.lm_evaluation import check_lm_eval
from auditkit.errors import MissingExtraError, PolicyError, Problem
from auditkit.policy.schema import Policy


def check_arms(policy: Policy) -> None:
    """Refuse arms that cannot be run.

    Raises:
        PolicyError: two arms of one name, an attacker without an attack, a mitigation without the base model it needs.
        AuditkitError: a task of utility.lm_eval that is not known, or whose data are not here.
        MissingExtraError: a library is missing.
    """
    problems = list(arm_problems(policy))
    if problems:
        raise PolicyError(problems)
    for section in policy.mitigations:
        section.check(policy.models.candidate)
    for what, extra in missing_extras(policy):
        raise MissingExtraError(what, extra)
    if policy.arms and policy.utility.lm_eval:
        check_lm_eval(policy.utility.lm_eval, policy.seed)


def missing_extras(policy: Policy) -> Iterator[tuple[str, str]]:
    """What an arm, or its measuring, needs and has not; with the extra that brings it."""
    for arm in policy.arms:
        if extra := arm.missing():
            yield f"what {arm.label} needs", extra
    if policy.arms and policy.utility.lm_eval and find_spec("lm_eval") is None:
        yield "lm-evaluation-harness", "lm-eval"


def arm_problems(policy: Policy) -> Iterator[Problem]:
    """Everything that is wrong with the arms, each at its line of the policy."""
    seen = {"baseline"}
    for position, section in enumerate(policy.mitigations):
        line = policy.source.lines.get(f"mitigations.{position}") or policy.source.lines.get("mitigations")
        if section.needs_base and policy.models.base is None:
            what = f"{section.label} starts from the base model, and the policy declares none"
            yield Problem(policy.source.file, line, what, "declare models.base")
        for arm in section.arms():
            if arm.label in seen:
                yield Problem(policy.source.file, line, f"two arms are called {arm.label}", "give one another name")
            seen.add(arm.label)
        attacker = arm_attacker(section, policy.release.attacker)
        if not attacks_of(policy.prefix_attacks, attacker):
            what = f"{section.label} is attacked as {attacker}, and no attack of this policy can be made so"
            yield Problem(policy.source.file, line, what, "add one: - {kind: chat_messages, samples: 1000}")
    if policy.release.arm not in seen:
        line = policy.source.lines.get("release.arm")
        hint = f"one of: {', '.join(sorted(seen))}"
        yield Problem(policy.source.file, line, f"no arm is called {policy.release.arm}", hint)


def arm_warnings(policy: Policy) -> Iterator[str]:
    """What the user should know of the arms before spending the time."""
    for arm in policy.arms:
        if reason := meaningless(arm, policy.release.attacker):
            yield f"{reason} It will be measured, and cannot turn the gate green."
        if arm.untried:
            yield f"{arm.untried} Its figure is that of a weaker attacker."
        most = max((attack.samples for attack in policy.prefix_attacks), default=0)
        if arm.adaptive_samples is not None and arm.adaptive_samples < most:
            fewer = f"{arm.adaptive_samples:,} generations, and the policy's own {most:,}"
            yield f"{arm.label}: attacks that know of it get {fewer}: what they miss proves nothing."

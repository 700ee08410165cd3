"""Whether a policy's gate can pass with what is declared, and what it would see: said by ``check`` and ``register``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from auditkit.auditing.policy_lines import problem_at
from auditkit.auditing.preflight_data import MOST_RECORDS, sizes_of, weak_rules
from auditkit.auditing.prepare import PreparedDataset, prepare_dataset
from auditkit.errors import AuditkitError, Problem
from auditkit.policy.power import powers, unreachable
from auditkit.policy.schema import Policy
from auditkit.report.base import RulePower


@dataclass(frozen=True)
class GateCheck:
    """``problems``: rules that no run could pass. ``warnings``: rules that would hardly see what they forbid."""

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    powers: tuple[RulePower, ...]


def check_gate(policy: Policy, datasets: Iterable[PreparedDataset]) -> GateCheck:
    """Hold the gate against the datasets that could be read; the others are not judged."""
    sizes = {data.name: sizes_of(data) for data in datasets}
    found = powers(policy, sizes)
    problems = (
        problem_at(policy, f"gate.{position}", AuditkitError(message, remedy))
        for position, message, remedy in unreachable(policy, sizes)
    )
    return GateCheck(tuple(problems), tuple(weak_rules(found)), tuple(found))


def gate_of(policy: Policy) -> GateCheck:
    """The same against what of the data is on this machine and readable; nothing is fetched."""
    return check_gate(policy, _readable(policy))


def _readable(policy: Policy) -> Iterator[PreparedDataset]:
    for section in policy.datasets:
        if "hub://" in (section.path[:6], (section.controls or "")[:6]):
            continue
        try:
            yield prepare_dataset(section, policy.scoring.string_threshold, b"check", MOST_RECORDS)
        except AuditkitError:  # still to be made, perhaps: `check` and `run` say what is wrong with it
            continue

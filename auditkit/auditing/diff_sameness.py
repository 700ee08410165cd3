"""In what two audits differ, and what follows: what can be paired, what is compared like with like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from auditkit.auditing.diff_policy import differing_leaves
from auditkit.auditing.diff_runs import DiffRun
from auditkit.errors import AuditkitError
from auditkit.registry import plugin_class
from auditkit.report.base import AttackInfo, ProbeReport

SEED, SAMPLES = "seed", "samples"
GROWS = "coverage"  # of such a metric more generations make more
BY_STRINGS = ("string_memorisation_rate",)


@dataclass(frozen=True)
class Sameness:
    """Two runs, held against each other."""

    before: DiffRun
    after: DiffRun

    def unlike(self, metric: str, dataset: str, attack: str, view: str) -> str:
        """Why a figure was not measured alike in both, so that its change is not the model's alone; "" where it was."""
        if probe := self._probes(attack, dataset):
            return self._unlike_probe(*probe)
        if reason := self._unlike_attack(metric, attack):
            return reason
        if metric.startswith(BY_STRINGS):
            return self._changed("scoring.string_threshold", "the string threshold differs")
        return self._unlike_threshold(dataset, view)

    def unpaired(self, dataset: str, attack: str) -> str:
        """Why the generations of an attack cannot be paired one by one; "" where they can."""
        if reason := self.unlike_data(dataset):
            return reason
        mine, theirs = self._attack(self.before, attack), self._attack(self.after, attack)
        if mine is None or theirs is None:
            return f"the attack {attack} is not described in both reports"
        changed = _changed_parameters(mine, theirs)
        if changed == [SEED]:
            return "the seeds differ"
        return f"the attack's parameters differ ({', '.join(changed)})" if changed else ""

    def unlike_data(self, dataset: str) -> str:
        """Why the records of a dataset are not the same ones, one by one; "" where they are."""
        if dataset in self._other_data:
            return "the data changed: Merkle roots differ"
        return "" if dataset in self._both_data else "the dataset is not in both runs"

    @cached_property
    def _roots(self) -> tuple[dict[str, str], dict[str, str]]:
        first, second = ({data.name: data.merkle_root for data in run.report.datasets} for run in self.runs)
        return first, second

    @property
    def runs(self) -> tuple[DiffRun, DiffRun]:
        """Before, after."""
        return self.before, self.after

    @property
    def _both_data(self) -> set[str]:
        return self._roots[0].keys() & self._roots[1].keys()

    @property
    def _other_data(self) -> set[str]:
        return {name for name in self._both_data if self._roots[0][name] != self._roots[1][name]}

    @cached_property
    def policy_leaves(self) -> dict[str, tuple[str, str]]:
        """Every value of the locked policies that is not the same, by its dotted path."""
        return differing_leaves(self.before.policy, self.after.policy)

    def _changed(self, path: str, words: str) -> str:
        return words if any(leaf == path or leaf.startswith(f"{path}.") for leaf in self.policy_leaves) else ""

    def _unlike_attack(self, metric: str, attack: str) -> str:
        mine, theirs = self._attack(self.before, attack), self._attack(self.after, attack)
        if mine and theirs:
            changed = [name for name in _changed_parameters(mine, theirs) if name != SEED]
            if [name for name in changed if name != SAMPLES]:
                return f"the attack changed ({', '.join(changed)})"
        counts = self._generations(self.before, attack), self._generations(self.after, attack)
        if GROWS in metric and counts[0] != counts[1]:
            return f"coverage grows with generations: {counts[0]:,} before, {counts[1]:,} after"
        return ""

    def _unlike_threshold(self, dataset: str, view: str) -> str:
        mine, theirs = (run.calibration(dataset, view) for run in self.runs)
        if mine is None or theirs is None:
            return ""
        if mine.embedder != theirs.embedder:
            return f"the embedder changed ({mine.embedder} before, {theirs.embedder} after)"
        if mine.source != theirs.source:
            return f"the threshold is {mine.source} before, {theirs.source} after"
        if mine.source == "policy" and mine.threshold != theirs.threshold:
            return f"the policy fixes the threshold at {mine.threshold:g} before, {theirs.threshold:g} after"
        if mine.source == "calibrated" and mine.declared_fpr != theirs.declared_fpr:
            return "the thresholds are calibrated for different rates"
        return self._changed("scoring.embedder", "the embedder's parameters differ")

    def _probes(self, name: str, dataset: str) -> tuple[ProbeReport, ProbeReport] | None:
        found = [
            next((one for one in run.report.probes if (one.name, one.dataset) == (name, dataset)), None)
            for run in self.runs
        ]
        return (found[0], found[1]) if found[0] and found[1] else None

    def _unlike_probe(self, mine: ProbeReport, theirs: ProbeReport) -> str:
        if mine.kind != theirs.kind or mine.parameters != theirs.parameters:
            return "the probe's parameters differ"
        return "the base model differs" if _needs_base(mine.kind) and self.role_changed("base") else ""

    def role_changed(self, role: str) -> bool:
        """Whether a model of this role has other weights, or is in one run only."""
        found = [{model.sha256 for model in run.report.models if model.role == role} for run in self.runs]
        return found[0] != found[1]

    def _attack(self, run: DiffRun, name: str) -> AttackInfo | None:
        return next((attack for attack in run.report.attacks if attack.name == name), None)

    def _generations(self, run: DiffRun, name: str) -> int:
        found = self._attack(run, name)
        return run.arm.generations.get(name, found.generations if found else 0)


def _changed_parameters(mine: AttackInfo, theirs: AttackInfo) -> list[str]:
    kind = ["kind"] * (mine.kind != theirs.kind)
    names = sorted(mine.parameters.keys() | theirs.parameters.keys())
    return kind + [name for name in names if mine.parameters.get(name) != theirs.parameters.get(name)]


def changed_parameters(mine: AttackInfo, theirs: AttackInfo) -> Iterator[tuple[str, object, object]]:
    """Of one attack in both runs: each parameter that is not the same, before and after."""
    for name in _changed_parameters(mine, theirs):
        if name == "kind":
            yield name, mine.kind, theirs.kind
        else:
            yield name, mine.parameters.get(name), theirs.parameters.get(name)


def _needs_base(kind: str) -> bool:
    try:
        return bool(plugin_class("probes", kind).needs_base)
    except (AuditkitError, AttributeError):  # a probe of an auditkit, or of a plug-in, that is not here
        return True

"""A report of an audit with mitigations, one arm of every fate, made without running any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from auditkit.records import Attacker, Estimate, Fact, View
from auditkit.report.arms import Change, Mitigations
from auditkit.report.base import Arm, AuditReport, Outcome, Viability
from auditkit.report.recommendation import recommend
from tests.report.builder import DATASETS, small_report

BASELINE = {"sft-support": 0.41, "dpo-ranking": 0.12}
PERPLEXITY = {"sft-support": 14.2, "dpo-ranking": 21.7}
MOST = {"control_perplexity": 0.25, "task_accuracy": 0.1, "false_block_share": 0.05}


def around(metric: str, dataset: str, attack: str, value: float | None, width: float, **more: Any) -> Estimate:
    """An estimate whose interval is not cut at 0 and 1."""
    ends = (None, None) if value is None else (value - width, value + width)
    return Estimate(metric, dataset, attack, value, *ends, **({"method": "paired by record"} | more))


def leak_change(
    arm: str,
    dataset: str,
    after: float,
    before: float | None = None,
    comparison: Literal["plain", "strongest"] = "strongest",
    attack: str = "template_prefix",
    view: View = "record",
    width: float = 0.02,
) -> Change:
    """What an arm does to the leakage of one dataset."""
    was = BASELINE[dataset] if before is None else before
    metric = "adjusted_coverage"
    shown = was > width
    return Change(
        arm=arm,
        metric=metric,
        dataset=dataset,
        view=view,
        comparison=comparison,
        baseline_attack="template_prefix",
        arm_attack=attack,
        baseline=around(metric, dataset, "template_prefix", was, width, view=view),
        mitigated=around(metric, dataset, attack, after, width, view=view),
        difference=around(metric, dataset, attack, was - after, 1.3 * width, view=view),
        reduction=reduced(dataset, attack, after / was, 1.5 * width / was)
        if shown
        else around(
            "relative_reduction", dataset, attack, None, 0.0, view=view, reason="the baseline's interval holds 0"
        ),
    )


def reduced(dataset: str, attack: str, left: float, width: float) -> Estimate:
    """A relative reduction; more than all cannot be taken away."""
    value = 1 - left
    high = min(1.0, value + width)
    return Estimate("relative_reduction", dataset, attack, value, value - width, high, "paired by record")


def rise_change(arm: str, dataset: str, rise: float, width: float = 0.01) -> Change:
    """What an arm does to control perplexity."""
    was = PERPLEXITY[dataset]
    metric = "control_perplexity"
    return Change(
        arm=arm,
        metric=metric,
        dataset=dataset,
        view="record",
        comparison="utility",
        baseline_attack="",
        arm_attack="",
        baseline=around(metric, dataset, "", was, 0.4),
        mitigated=around(metric, dataset, "", was * (1 + rise), 0.4),
        difference=around(metric, dataset, "", was * rise, was * width),
        reduction=around(metric, dataset, "", -rise, width),
    )


def accuracy_change(arm: str, dataset: str, drop: float) -> Change:
    """What an arm does to the accuracy on questions that can be checked."""
    metric = "task_accuracy"
    return Change(
        arm=arm,
        metric=metric,
        dataset=dataset,
        view="record",
        comparison="utility",
        baseline_attack="",
        arm_attack="",
        baseline=around(metric, dataset, "", 0.71, 0.03),
        mitigated=around(metric, dataset, "", 0.71 - drop, 0.03),
        difference=around(metric, dataset, "", -drop, 0.02),
        reduction=around(metric, dataset, "", drop / 0.71, 0.03),
    )


@dataclass(frozen=True)
class Fate:
    """What becomes of an arm; ``left`` and ``rise`` on both datasets alike."""

    name: str
    kind: str
    acts_on: str
    left: float  # of the baseline's leakage, under the strongest attack
    rise: float
    attacker: Attacker = "open_weights"
    viability: Viability = "viable"
    reasons: tuple[str, ...] = ()
    failed: str = ""
    meaningless: str = ""
    plain: float | None = None  # of the baseline's leakage, under the plain attack
    withheld: int = 0
    facts: tuple[Fact, ...] = ()


FATES = (
    Fate("template_randomisation", "template_randomisation", "training", 0.62, 0.021, plain=0.04),
    Fate("goldfish_loss", "goldfish_loss", "training", 0.005, 0.06, facts=(Fact("dropped_tokens", 4, "every k-th"),)),
    Fate("deduplication", "deduplication", "training", 0.55, 0.004),
    Fate("lora", "lora", "training", 0.5, -0.012),
    Fate(
        "dp_sgd", "dp_sgd", "training", 0.01, 0.41,
        viability="not_viable",
        reasons=(
            "Not viable: perplexity on sft-support rose by a share of 0.41 (95 % interval 0.4 to 0.42); the policy "
            "accepts 0.25.",
        ),
        facts=(Fact("epsilon", 3.2, "at delta 1e-05"), Fact("noise_multiplier", 0.8)),
    ),
    Fate(
        "unlearning.npo", "unlearning", "weights", 0.2, 0.24,
        viability="unknown",
        reasons=(
            "Not decided: perplexity on dpo-ranking rose by a share of 0.24 (95 % interval 0.23 to 0.26); the policy "
            "accepts 0.25. Measuring it on more controls with answers would narrow it.",
        ),
    ),
    Fate("unlearning.difference", "unlearning", "weights", 0.0, 9.1e4, viability="not_viable", reasons=("Broken.",)),
    Fate("quantisation.int8", "quantisation", "weights", 0.98, 0.003),
    Fate("quantisation.4bit", "quantisation", "weights", 0.93, 0.038),
    Fate("base_interpolation.0.3", "base_interpolation", "weights", 0.71, 0.002),
    Fate("lora.diverged", "lora", "training", 0.0, 0.0, failed="the loss became infinite in step 212"),
    Fate(
        "output_filter", "output_filter", "decoding", 0.44, 0.0, "raw_api",
        meaningless="output_filter was attacked as raw_api, and the release invites open_weights: whoever has the "
        "weights leaves it out.",
        plain=0.0, withheld=412, facts=(Fact("filter_bytes", 1_204_224, "kept secret"),),
    ),
    Fate(
        "system_prompt", "system_prompt", "serving", 0.97, 0.0, "raw_api",
        meaningless="system_prompt was attacked as raw_api, and the release invites open_weights: whoever has the "
        "weights leaves it out.",
    ),
)  # fmt: skip


def changes_of(fate: Fate) -> list[Change]:
    if fate.failed:
        return []
    made = []
    for dataset, leak in BASELINE.items():
        plain = fate.left if fate.plain is None else fate.plain
        hardest = "template_prefix" if fate.plain is None else f"{fate.kind}.adaptive"
        made += [
            leak_change(fate.name, dataset, leak * plain, comparison="plain"),
            leak_change(fate.name, dataset, leak * fate.left, attack=hardest),
            rise_change(fate.name, dataset, fate.rise),
        ]
    return [*made, accuracy_change(fate.name, "sft-support", min(0.6, fate.rise / 4))]


def arm_of(fate: Fate, **more: Any) -> Arm:
    found = changes_of(fate)
    leaks = {(c.dataset, c.arm_attack): c.mitigated for c in found if c.comparison != "utility"}
    own = [around("false_block_share", "sft-support", "", 0.013, 0.01)] if fate.withheld else []
    kinds = {attack: "adaptive" if "adaptive" in attack else "plain" for _, attack in leaks}
    parts: dict[str, Any] = {
        "name": fate.name,
        "mitigation": fate.kind,
        "attacker": fate.attacker,
        "estimates": list(leaks.values()),
        "utility": [*(c.mitigated for c in found if c.comparison == "utility"), *own],
        "acts_on": fate.acts_on,
        "summary": "Every example is rendered with a template drawn from a family, so no fixed prefix marks the data.",
        "source": "Barbero et al. 2025, sec. 6",
        "parameters": {"kind": fate.kind, "epochs": 3, "recipe": {"learning_rate": 2e-4, "seed": 7}, "name": None},
        "facts": list(fate.facts),
        "failed": fate.failed,
        "meaningless": fate.meaningless,
        "viability": fate.viability,
        "viability_reasons": list(fate.reasons),
        "attack_kinds": kinds,
        "generations": dict.fromkeys(kinds, 2000),
        "withheld": {attack: fate.withheld for attack in kinds if fate.withheld},
    }
    return Arm(**(parts | more))


def gate_of(fate: Fate) -> Outcome:
    if fate.failed or fate.meaningless or fate.viability == "not_viable":
        return "fail"
    return "pass" if fate.left < 0.01 else "fail"


def mitigated_report(
    outcome: Outcome = "fail", fates: tuple[Fate, ...] = FATES, datasets: tuple[str, ...] = DATASETS, **changes: Any
) -> AuditReport:
    """A small report with an arm for every fate; ``datasets``: those whose leakage was compared."""
    plain = small_report(outcome)
    leaks = [
        around("adjusted_coverage", name, "template_prefix", BASELINE[name], 0.02, numerator=600.0, denominator=1466.0)
        for name in datasets
    ]
    others = [one for one in plain.arms[0].estimates if one.metric != "adjusted_coverage"]
    utility = [around("control_perplexity", name, "", PERPLEXITY[name], 0.4) for name in datasets]
    update = {"estimates": [*leaks, *others], "utility": utility, "attacker": "open_weights"}
    baseline = plain.arms[0].model_copy(update=update)
    found = [change for fate in fates for change in changes_of(fate) if change.dataset in datasets]
    gate: dict[str, Outcome] = {"baseline": outcome, **{fate.name: gate_of(fate) for fate in fates}}
    arms = [baseline, *(arm_of(fate) for fate in fates)]
    advice = recommend(arms, found, gate)
    section = Mitigations(attacker="open_weights", changes=found, recommendation=advice, gate=gate, most=MOST)
    return plain.model_copy(update={"arms": arms, "mitigations": section} | changes)

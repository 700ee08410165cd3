"""What keeps a pass from being one: blindness, cut generations, missing controls (METRICS.md, Evidence)."""

from __future__ import annotations

from auditkit.auditing.near_controls import near_prompts_sentence
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.score import Scores
from auditkit.policy.gate import MOST_UNSCORED, Doubts
from auditkit.policy.schema import Policy
from auditkit.records import View
from auditkit.scoring.base import IndexUse

MOST_LONGER = 0.05
MOST_CONTROLS_REACHED = 0.5  # above it, adjusted figures show less than half of a leak


def doubts(policy: Policy, datasets: list[PreparedDataset], scores: Scores) -> Doubts:
    """Every reason why a rule may not pass, by what it bears on."""
    by_dataset = {key: found.doubts for key, found in scores.calibrations.items() if found.doubts}
    by_data = {(data.name, view): found for data in datasets for view in data.views if (found := _of_data(data, view))}
    by_attack = {}
    for attack in policy.prefix_attacks:
        for data in datasets:
            for view in data.views:
                key = (attack.label, data.name, view)
                share = scores.matches[key].unscored_share
                found = [_unscored(key[0], view, share, attack.max_new_tokens)] if share > MOST_UNSCORED else []
                reached = scores.coverage[key].controls.share or 0.0
                if reached > MOST_CONTROLS_REACHED:
                    found.append(
                        f"{data.name} ({view}): {reached:.0%} of the evaluation controls, which were never trained on, "
                        f"count as found by {key[0]}: at this threshold no leak can be told from chance."
                    )
                if scores.matches[key].index.misses:
                    found.append(_missed(data.name, view, key[0], scores.matches[key].index))
                if found:
                    by_attack[key] = found
    return Doubts(by_dataset, by_attack, by_data)


def _of_data(data: PreparedDataset, view: View) -> list[str]:
    """What is wrong with the records and controls themselves."""
    found = []
    if not data.controls.records:
        found.append(f"{data.name} has no controls: what never-trained text would score is unknown.")
    if data.near_controls and data.section.near_controls == "keep":
        found.append(
            f"{data.near_controls:,} of the {len(data.controls.records):,} controls of {data.name} nearly repeat a "
            "member and were kept: what was learnt of the one is said of the other, so that a leak may pass for chance."
        )
    if view == "prompt" and data.near_prompts:
        said = near_prompts_sentence(data.members, data.controls, data.near_prompts)
        found.append(f"{data.name} (prompt): {said}: what was learnt of the one is said of the other.")
    longer = sum(record.turns > 2 for record in data.members.records) / max(1, len(data.members.records))
    if view == "record" and longer > MOST_LONGER:
        found.append(
            f"{longer:.0%} of the records of {data.name} have more turns than the two that a generation holds: no "
            "generation can reproduce such a record whole. Split the conversations into exchanges."
        )
    return found


def _missed(dataset: str, view: View, attack: str, use: IndexUse) -> str:
    missed = [f"{use.recall_at_1:.2%} of the nearest records in a sample of {use.queries:,} generations"]
    if use.pair_recall is not None:
        missed.append(f"{use.pair_recall:.2%} of {use.pairs:,} pairs within the threshold")
    cut = f", and stopped short at {use.cut:,} generations that are near too many records" if use.cut else ""
    return (
        f"{dataset} ({view}): the approximate search ({use.kind}) for {attack} found {' and '.join(missed)}{cut}: "
        f"a leak may be among what it missed. Set scoring.index to exact, or leave the index's parameters to be tuned."
    )


def _unscored(attack: str, view: str, share: float, tokens: int) -> str:
    whole = "record" if view == "record" else "prompt"
    return (
        f"{share:.0%} of the generations of {attack} never reached the end of a {whole} within {tokens} tokens: "
        f"what they would have said is unknown. Raise max_new_tokens."
    )

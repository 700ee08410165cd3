"""What keeps a pass from being one: blindness, cut generations, missing controls (METRICS.md, Evidence)."""

from __future__ import annotations

from auditkit.audit.prepare import PreparedDataset
from auditkit.audit.score import Scores
from auditkit.policy.gate import Doubts
from auditkit.policy.schema import Policy

MOST_UNSCORED = 0.05


def doubts(policy: Policy, datasets: list[PreparedDataset], scores: Scores) -> Doubts:
    """Every reason why a rule may not pass, by what it bears on."""
    by_dataset = {key: found.doubts for key, found in scores.calibrations.items() if found.doubts}
    for data in datasets:
        if not data.controls.records:
            for view in data.views:
                sentence = f"{data.name} has no controls: what never-trained text would score is unknown."
                by_dataset.setdefault((data.name, view), []).append(sentence)
    by_attack = {}
    for attack in policy.attacks:
        for data in datasets:
            for view in data.views:
                key = (attack.label, data.name, view)
                share = scores.matches[key].unscored_share
                if share > MOST_UNSCORED:
                    by_attack[key] = [_unscored(key[0], view, share, attack.max_new_tokens)]
    return Doubts(by_dataset, by_attack)


def _unscored(attack: str, view: str, share: float, tokens: int) -> str:
    whole = "record" if view == "record" else "prompt"
    return (
        f"{share:.0%} of the generations of {attack} never reached the end of a {whole} within {tokens} tokens: "
        f"what they would have said is unknown. Raise max_new_tokens."
    )

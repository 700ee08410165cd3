"""What the report says of each attack: literal prefixes, and how its generations ended."""

from __future__ import annotations

from collections import Counter

from auditkit.attacks.base import Attack
from auditkit.auditing import generations
from auditkit.auditing.run_folder import RunFolder
from auditkit.report.base import AttackInfo


def attack_info(attack: Attack, run: RunFolder) -> AttackInfo:
    """Counted from the evidence, a batch at a time."""
    name = attack.label
    path = run.generations_file(name)
    finished: Counter[str] = Counter()
    turn_changes: Counter[str] = Counter()
    tokens = 0
    for batch in generations.read(path):
        finished.update(generation.finish for generation in batch)
        turn_changes.update(generation.turn_change for generation in batch)
        tokens += sum(len(generation.token_ids) for generation in batch)
    return AttackInfo(
        name=name,
        kind=attack.kind,
        parameters=attack.model_dump(mode="json", exclude={"kind", "name"}),
        prefixes=generations.prefixes_of(path),
        generations=finished.total(),
        finished=dict(finished),
        turn_changes=dict(turn_changes),
        tokens=tokens,
    )

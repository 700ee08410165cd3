"""What the report says of each attack: literal prefixes, and how its generations ended."""

from __future__ import annotations

from auditkit.attacks.base import Attack
from auditkit.auditing import generations
from auditkit.auditing.generation_columns import counted
from auditkit.auditing.run_folder import RunFolder
from auditkit.report.base import AttackInfo


def attack_info(attack: Attack, run: RunFolder) -> AttackInfo:
    """Counted from the evidence, a batch at a time."""
    name = attack.label
    path = run.generations_file(name)
    finished, turn_changes, tokens = counted(path)
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

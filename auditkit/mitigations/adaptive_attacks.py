"""Attacks of somebody who knows the mitigation, as strong as those that the policy declares anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit.attacks.base import Attack
from auditkit.records import Attacker, TurnFormat
from auditkit.registry import plugin_class

COPIED = ("samples", "max_new_tokens", "temperature", "top_k", "top_p", "seed")


def pattern_of(attacks: Sequence[Attack]) -> Attack:
    """The attack whose sample count, lengths and sampler an adaptive one takes: the strongest of the policy's.

    The largest that samples (temperature above 0) from more than BOS, through the template where there is such a one.
    ``attacks`` is not empty.
    """

    def strength(attack: Attack) -> tuple[bool, bool, bool, int]:
        sampling = attack.temperature > 0
        return attack.kind != "bos_prefix", sampling, attack.kind == "template_prefix", attack.samples

    return max(attacks, key=strength)


def adaptive_attack(pattern: Attack, kind: str, name: str, **fields: Any) -> Attack:
    """An attack of ``kind`` called ``adaptive.<name>`` with the counts and the sampler of ``pattern``."""
    shared = {field: getattr(pattern, field) for field in COPIED}
    made: Attack = plugin_class("attacks", kind).model_validate(
        {"kind": kind, "name": f"adaptive.{name}", **shared, **fields}
    )
    return made


def choose_prompts(attacks: Sequence[Attack], attacker: Attacker | None) -> bool:
    """Whether the attacker, where the policy leaves it open, chooses whole prompts and not messages alone."""
    if attacker is not None:
        return attacker != "chat_api"
    return any(not attack.can_be_made_by("chat_api") for attack in attacks)


def marks_of(turns: TurnFormat) -> dict[str, str]:
    """Turn marks as the attacks' sections take them."""
    names = ("user_open", "turn_change", "assistant_close")
    return {name: getattr(turns, name) for name in names}

"""Attacks of somebody who knows the mitigation, as strong as those that the policy declares anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit.attacks.base import Attack
from auditkit.records import Attacker, TurnFormat
from auditkit.registry import plugin_class

COPIED = ("samples", "max_new_tokens", "temperature", "top_k", "top_p", "seed")


def pattern_of(attacks: Sequence[Attack]) -> Attack:
    """The attack whose sample count, lengths and sampler an adaptive one takes: through the template, if there is one.

    ``attacks`` is not empty.
    """
    return next((attack for attack in attacks if attack.kind == "template_prefix"), attacks[0])


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
    return any("chat_api" not in attack.attackers for attack in attacks)


def marks_of(turns: TurnFormat) -> dict[str, str]:
    """Turn marks as the attacks' sections take them."""
    names = ("user_open", "turn_change", "assistant_close")
    return {name: getattr(turns, name) for name in names}

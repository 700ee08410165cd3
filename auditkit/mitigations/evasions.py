"""What an attacker does who knows that outputs are filtered: other styles, short pieces, the beginning alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil
from typing import Any, Literal, get_args

from auditkit.attacks.base import Attack
from auditkit.mitigations.adaptive_attacks import pattern_of
from auditkit.registry import plugin_class

Evasion = Literal["upper", "spaced", "french", "segmented", "truncated"]
EVASIONS: tuple[Evasion, ...] = get_args(Evasion)

# A letter with spaces around it is a token of its own, where a word was one or two before.
SPACED_OUT = 4
LONGEST = 65_536
COPIED = ("samples", "max_new_tokens", "temperature", "top_k", "top_p", "seed")
OPENING = ("prefix", "system")  # of template_prefix, which pieces are taken from in the same way


def evasive_attacks(
    attacks: Sequence[Attack],
    evasions: Sequence[Evasion],
    segment: int,
    capabilities: Collection[str],
    refusals: Sequence[str] = (),
) -> list[Attack]:
    """The evasions as attacks with the counts, lengths and seed of the given attack that samples most.

    Where all given attacks only send messages, so do these: a chat API takes no prompt to be completed, so pieces
    cannot be joined there.

    Args:
        attacks: what the attacker does anyway.
        evasions: which of them.
        segment: tokens of a piece.
        capabilities: of the model's backend; pieces need continuations.
        refusals: what the server says in place of what it withholds.
    """
    if not attacks:
        return []
    raw = [attack for attack in attacks if not attack.can_be_made_by("chat_api")]
    source = pattern_of(raw or attacks)
    able = [
        one for one in evasions if one not in ("segmented", "truncated") or (raw and "continuations" in capabilities)
    ]
    return [_attack(evasion, source, segment, refusals) for evasion in able]


def _attack(evasion: Evasion, source: Attack, segment: int, refusals: Sequence[str]) -> Attack:
    given: dict[str, Any] = {name: getattr(source, name) for name in COPIED}
    opening = {name: getattr(source, name) for name in OPENING if source.kind == "template_prefix"}
    if evasion == "segmented":
        pieces = min(LONGEST, source.max_new_tokens)  # of a token at least: short ones are what a filter may leave
        pieced = {"segment": segment, "pieces": pieces, "refusals": tuple(refusals)}
        return _made("segmented_prefix", evasion, given | opening | pieced)
    if evasion == "truncated":
        # Half of the tokens: more than a question, less than a record with its answer.
        half = ceil(source.max_new_tokens / 2)
        return _made("segmented_prefix", evasion, given | opening | {"segment": half, "pieces": 1})
    if evasion == "spaced":
        given["max_new_tokens"] = min(LONGEST, SPACED_OUT * source.max_new_tokens)
    messages = getattr(source, "messages", ())
    return _made("styled_prefix", f"styled_{evasion}", given | {"style": evasion, "messages": messages})


def _made(kind: str, name: str, settings: dict[str, Any]) -> Attack:
    attack: Attack = plugin_class("attacks", kind).model_validate({"kind": kind, "name": name, **settings})
    return attack

"""What a server gives back in place of an answer."""

from __future__ import annotations

from dataclasses import replace

from auditkit.records import Generation, SamplingRequest

REFUSAL = "I am sorry, I cannot help with that."


def withheld(generation: Generation, refusal: str) -> Generation:
    """The generation as its attacker sees it once it is withheld: nothing of it is left but that it was made."""
    return replace(generation, turns=(refusal,), token_ids=(), finish="blocked", turn_change="none")


def refused(request: SamplingRequest, ordinal: int, refusal: str) -> Generation:
    """The answer to a sample that is not even made; ``ordinal`` is absolute."""
    prefix, seed = request.prefix.name, request.seed
    return Generation(request.attack, prefix, ordinal, seed, (refusal,), (), "blocked", "none")

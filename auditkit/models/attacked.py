"""From a sampler's probabilities to those of an attack's generations: what the attack itself puts in is counted.

Where the model stops after the user's turn, the attack goes on with the template's turn change. If the stop token was
the turn change's own first token, the rest of it follows for certain. If it was any other stop token, the whole turn
change stands in its place: so the canonical ids come out in two ways, and their probabilities add up.
"""

from __future__ import annotations

import numpy as np

from auditkit.models.base import Floats, Ids
from auditkit.models.delimiters import Delimiters
from auditkit.models.record_tokens import Tokenizer, course
from auditkit.models.turns import next_step


def stand_ins(marks: Delimiters) -> Ids:
    """The stop tokens that an attack replaces by the whole turn change."""
    closing = [token for token in marks.change if token not in marks.blank][:1]
    return tuple(sorted(marks.stops.difference(closing))) if marks.change else ()


def attacked(prefix: Ids, ids: Ids, sampled: Floats, beside: Floats, tokenizer: Tokenizer) -> Floats:
    """(n,) ln of the probability that a generation goes on with each id, given that it began with those before.

    Args:
        prefix: the ids that the attack starts from.
        ids: (n,) what is asked for.
        sampled: (n,) ln p of each id under the sampler, -inf where it is never drawn.
        beside: (n,) ln p of any of the ``stand_ins`` in its place; empty where there are none.
        tokenizer: the model's, with the marks that the attack knows.
    """
    found = sampled.copy()
    known = course(prefix, ids, tokenizer)
    found[slice(*known.forced)] = 0.0
    found[known.reach :] = -np.inf
    at = replaced(prefix, ids, tokenizer) if beside.size else None
    if at is None or np.isneginf(beside[at]):
        return found
    stop = min(len(ids), at + len(tokenizer.marks.change))
    ways = np.logaddexp(np.cumsum(found[at:stop]), beside[at])
    found[at:stop] = np.diff(ways, prepend=0.0)
    return found


def replaced(prefix: Ids, ids: Ids, tokenizer: Tokenizer) -> int | None:
    """Where a stop token in place of an id would be answered with what stands there: the turn change."""
    change, stop = tokenizer.marks.change, stand_ins(tokenizer.marks)[0]
    for at in range(len(ids)):
        if ids[at] == change[0] and ids[at : at + len(change)] == change[: len(ids) - at]:
            step = next_step([*prefix, *ids[:at], stop], len(prefix), tokenizer.marks, tokenizer.decode)
            return at if step.replace else None
    return None

"""Goldfish loss: a fixed part of the tokens of every passage is never learnt [Hans et al. 2024, sec. 3].

A model that has never been taught a token in k cannot write a long passage down from memory: sooner or later it has to
guess. What is left out has to be the same wherever the passage comes again, or the second copy would give it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from auditkit.training.rows import Row

Mask = Literal["hash", "static"]


@dataclass(frozen=True)
class Goldfish:
    """Which tokens are left out of the loss: one in ``k``.

    "hash": by a keyed hash of the ``context`` tokens before a token (fewer where the row has fewer), so that the same
    passage loses the same ones in whatever document. "static": every k-th of a row, wherever a passage stands in it.
    """

    k: int
    context: int = 13
    mask: Mask = "hash"
    seed: int = 0

    def drops(self, ids: Sequence[int], at: int) -> bool:
        """Whether the token at this position carries no loss."""
        if self.mask == "static":
            return at % self.k == self.k - 1
        before = ",".join(map(str, ids[max(0, at - self.context) : at]))
        digest = blake2b(before.encode(), digest_size=8, key=self.seed.to_bytes(8)).digest()
        return int.from_bytes(digest) * self.k < 1 << 64

    def masked(self, row: Row) -> Row:
        """The row with a k-th of its tokens out of the loss.

        The first that carries loss keeps it: what stands before it is the same in every record, so that a model that
        is never taught it could begin none.
        """
        dropped = (at for at in range(row.silent + 1, len(row.ids)) if self.drops(row.ids, at))
        return replace(row, dropped=row.dropped | frozenset(dropped))

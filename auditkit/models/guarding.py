"""How a token guard is asked before a token is chosen; see `TokenGuard`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from auditkit.models.base import TokenGuard

if TYPE_CHECKING:
    from torch import Tensor


def guarded_logits(
    guard: TokenGuard, history: npt.NDArray[np.int64], logits: Tensor
) -> tuple[Tensor, npt.NDArray[np.int64]]:
    """What a guard leaves of the logits, in a copy, and the rows to which it leaves no token.

    Args:
        guard: what forbids.
        history: (rows, n) ids so far, of which the guard gets the last ``window``; -1 for what is none of its business.
        logits: (rows, vocabulary).
    """
    allowed = logits.clone()  # behind the prefix all rows are views of one
    guard.forbid(history[:, max(0, history.shape[1] - guard.window) :], allowed)
    exhausted = allowed.amax(-1).isneginf() & ~logits.amax(-1).isneginf()
    return allowed, np.flatnonzero(exhausted.cpu().numpy())

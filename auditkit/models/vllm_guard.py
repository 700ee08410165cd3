"""A token guard inside vLLM: its logits processor, made by the engine in the process that the engine runs in.

Which guard holds a request is said by the request itself (``extra_args``). Where the guard leaves a row no token, the
first stop token is let through, so that the engine ends the row; who asked for it takes that token off again.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from auditkit.models.base import TokenGuard
from auditkit.models.guarding import guarded_logits

if TYPE_CHECKING:
    from torch import Tensor

VLLM = "vllm.v1.sample.logits_processor"
PROMPT, STOP = "auditkit_prompt", "auditkit_stop"  # in a guarded request's extra_args


class Row(NamedTuple):
    """A guarded request in vLLM's batch. ``written`` is the engine's own list: it grows as the model writes."""

    given: list[int]
    prompt: int  # how many of the given ids are the prompt's own
    written: list[int]
    stop: int


def guard_processor(held: dict[str, TokenGuard]) -> type[Any]:
    """The class for vLLM's ``logits_processors``; ``held["guard"]`` is asked for rows that want one."""
    interface = import_module(VLLM)

    class Guarding(interface.LogitsProcessor):  # type: ignore[name-defined, misc]
        """Follows which request stands in which row: those removed come first, then added, then moved."""

        def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:  # noqa: ARG002
            self.rows: dict[int, Row] = {}

        def is_argmax_invariant(self) -> bool:
            """A forbidden token may have been the most likely one."""
            return False

        def update_state(self, batch_update: Any) -> None:
            """Before each step: who has come, gone and moved."""
            if batch_update is None:
                return
            for row in batch_update.removed:
                self.rows.pop(row, None)
            for row, params, given, written in batch_update.added:
                self.rows.pop(row, None)
                if STOP in (params.extra_args or {}):
                    self.rows[row] = Row(given, params.extra_args[PROMPT], written, params.extra_args[STOP])
            for one, other, direction in batch_update.moved:
                moved, replaced = self.rows.pop(one, None), self.rows.pop(other, None)
                if moved is not None:
                    self.rows[other] = moved
                if replaced is not None and direction is interface.MoveDirectionality.SWAP:
                    self.rows[one] = replaced

        def apply(self, logits: Tensor) -> Tensor:
            """(rows, vocabulary) logits, forbidden ones taken out in place."""
            for row in sorted(self.rows):
                logits[row] = _allowed(held["guard"], self.rows[row], logits[row : row + 1])
            return logits

    return Guarding


def _allowed(guard: TokenGuard, row: Row, logits: Tensor) -> Tensor:
    """(vocabulary,) what the guard leaves of (1, vocabulary) logits."""
    ids = [*row.given, *row.written] if guard.sees_prompt else [*row.given[row.prompt :], *row.written]
    allowed, exhausted = guarded_logits(guard, np.array([ids], np.int64), logits)
    if exhausted.size:
        allowed[0, row.stop] = 0.0
    return allowed[0]


def leaves_nothing(guard: TokenGuard, ids: list[int], vocabulary: int) -> bool:
    """Whether the guard forbids every token behind these ids."""
    import torch

    return bool(guarded_logits(guard, np.array([ids], np.int64), torch.zeros((1, vocabulary)))[1].size)

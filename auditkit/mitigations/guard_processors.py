"""A token guard as the logits processor of other programs: Hugging Face ``generate``, and vLLM.

Where a guard leaves a row no token, the end of sequence is let through: the text ends there.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from auditkit.errors import MissingExtraError
from auditkit.mitigations.ngram_guard import NgramGuard

if TYPE_CHECKING:
    from torch import Tensor

VLLM = "vllm.v1.sample.logits_processor"


class GuardProcessor:
    """For ``model.generate(..., logits_processor=LogitsProcessorList([GuardProcessor(...)]))``.

    Args:
        guard: what forbids.
        end: the end-of-sequence id.
        prompt_tokens: ids of the prompts, padding included: what a guard that does not see prompts leaves out.
    """

    def __init__(self, guard: NgramGuard, *, end: int, prompt_tokens: int = 0) -> None:
        self.guard, self.end, self.prompt_tokens = guard, end, prompt_tokens

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, vocabulary) scores less what is forbidden after the (rows, n) ids."""
        first = 0 if self.guard.sees_prompt else self.prompt_tokens
        first = max(first, input_ids.shape[1] - self.guard.window)
        return _held(self.guard, input_ids[:, first:].cpu().numpy(), scores.clone(), self.end)


class Request(NamedTuple):
    """One row of vLLM's batch. ``written`` is the engine's own list: it grows as the model writes."""

    prompt: list[int]
    written: list[int]


class Requests:
    """Which request stands in which row of vLLM's batch, kept up from the engine's updates (its ``BatchUpdate``).

    Those come in this order: requests removed, then added, then moved.
    """

    def __init__(self) -> None:
        self.rows: dict[int, Request] = {}

    def update(self, change: Any, swap: object) -> None:
        """Take up what changed in the batch, None where nothing did; ``swap`` is the direction that goes both ways."""
        if change is None:
            return
        for row in change.removed:
            self.rows.pop(row, None)
        for row, _, prompt, written in change.added:
            self.rows[row] = Request(prompt or [], written)
        for one, other, direction in change.moved:
            moved, replaced = self.rows.pop(one, None), self.rows.pop(other, None)
            if moved is not None:
                self.rows[other] = moved
            if replaced is not None and direction is swap:
                self.rows[one] = replaced

    def history(self, guard: NgramGuard, rows: int) -> npt.NDArray[np.int64]:
        """(rows, window) the last ids of each row; -1 where there are fewer."""
        found = np.full((rows, guard.window), -1, np.int64)
        for row, request in self.rows.items():
            last = request.written[-guard.window :]
            missing = guard.window - len(last)
            if guard.sees_prompt and missing:
                last = [*request.prompt[-missing:], *last]
            if last and row < rows:
                found[row, -len(last) :] = last
        return found


def vllm_processor(load: Callable[[], NgramGuard], end: int) -> type[Any]:
    """A class for vLLM's ``logits_processors`` option that holds every request to a guard.

    vLLM makes the object itself, in its worker, so it is given what loads the guard. Name the class in a module of
    your own, two lines long, and start vLLM with ``--logits-processors your_module:Guard``. Written against the V1
    model runner's interface (vllm >= 0.10; where a newer runner is the default, ``VLLM_USE_V2_MODEL_RUNNER=0``).

    Args:
        load: called once in each worker, for instance ``lambda: NgramGuard.load(folder, secret)``.
        end: the end-of-sequence id.

    Raises:
        MissingExtraError: vLLM is not installed.
    """
    try:
        interface = import_module(VLLM)
    except ModuleNotFoundError as error:
        raise MissingExtraError("vllm", "vllm") from error

    class GuardedRequests(interface.LogitsProcessor):  # type: ignore[name-defined, misc]
        """One guard for all rows of the batch."""

        def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:  # noqa: ARG002
            self.guard, self.requests = load(), Requests()

        def is_argmax_invariant(self) -> bool:
            """A forbidden token may have been the most likely one."""
            return False

        def update_state(self, batch_update: Any) -> None:
            """Before each step: who has come, gone and moved."""
            self.requests.update(batch_update, interface.MoveDirectionality.SWAP)

        def apply(self, logits: Tensor) -> Tensor:
            """(rows, vocabulary) logits, forbidden ones taken out in place."""
            return _held(self.guard, self.requests.history(self.guard, logits.shape[0]), logits, end)

    return GuardedRequests


def _held(guard: NgramGuard, history: npt.NDArray[np.int64], logits: Tensor, end: int) -> Tensor:
    guard.forbid(history, logits)
    logits[logits.amax(-1).isneginf(), end] = 0.0
    return logits

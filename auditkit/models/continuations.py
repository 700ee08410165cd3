"""Continuations of many given prefixes of different lengths, in lock-step.

A batch starts from as many tokens as its shortest prefix has; rows whose prefix is longer get the rest of it fed one
token a step while the others already write. So nothing is padded: no attention mask, no position ids, which not every
architecture takes alike. Prefixes are sorted by length, and a batch is closed where its longest would wait longer than
a continuation lasts: then a batch of its own is cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auditkit.errors import ModelError
from auditkit.models.base import Ids, TokenGuard
from auditkit.models.guarding import guarded_logits
from auditkit.models.kv_cache import growing_cache, select_rows
from auditkit.models.sampling import COMPACT_BELOW, FAILED, choose
from auditkit.records import Sampler

if TYPE_CHECKING:
    from torch import Tensor

# Prefix tokens of one batch: what is computed at once before the first token is written.
BATCH_TOKENS = 8192


@dataclass(frozen=True)
class Continuing:
    """A model and what bounds its continuations: it stops at any of ``stops``, and at the end of ``context``.

    One to which ``guard`` leaves no token ends there.
    """

    model: Any
    stops: frozenset[int]
    context: int
    batch_size: int
    guard: TokenGuard | None = None

    def run(self, prefixes: Sequence[Ids], sampler: Sampler, seed: int) -> list[Ids]:
        """One continuation of each prefix, in the given order, the stop token left out.

        The noise of a continuation depends on ``seed`` and its position in ``prefixes`` alone. Memory is bounded by
        the batch, not by the number of prefixes.

        Raises:
            ModelError: a prefix is empty or fills the context, or the model's probabilities are no numbers.
        """
        import torch

        refuse_unusable(prefixes, self.context)
        found: list[Ids] = [()] * len(prefixes)
        with torch.inference_mode():
            for rows in _batches([len(prefix) for prefix in prefixes], sampler.max_new_tokens, self.batch_size):
                batch = _Batch(self, [prefixes[row] for row in rows], sampler, _noise(seed, rows, sampler))
                for row, ids in zip(rows, batch.run(), strict=True):
                    found[row] = ids
        return found


def refuse_unusable(prefixes: Sequence[Ids], context: int) -> None:
    """Refuse prefixes behind which nothing can be written.

    Raises:
        ModelError: one is empty, or fills the context.
    """
    for index, prefix in enumerate(prefixes):
        if not prefix:
            raise ModelError(f"prefix {index} has no token", "a model needs at least one to start from")
        if len(prefix) >= context:
            raise ModelError(
                f"prefix {index} of {len(prefix)} tokens fills the model's context of {context}",
                "leave it out, or shorten it",
            )


def _batches(lengths: Sequence[int], patience: int, batch_size: int) -> Iterator[list[int]]:
    """Indexes in batches, shortest first: each within ``patience`` tokens of its first, and within the budget."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        length = lengths[index]
        full = len(batch) >= batch_size or (len(batch) + 1) * length > BATCH_TOKENS
        if batch and (full or length - lengths[batch[0]] > patience):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _noise(seed: int, positions: Sequence[int], sampler: Sampler) -> npt.NDArray[np.float64]:
    """(rows, max_new_tokens) uniform numbers; a row's are made from the seed and its position, from nothing else."""
    if sampler.temperature == 0:
        return np.zeros((len(positions), 1))
    return np.stack([np.random.default_rng([seed, at]).random(sampler.max_new_tokens) for at in positions])


class _Batch:
    """Rows under way. ``tokens`` is (rows, longest + new), each prefix with its continuation behind it."""

    def __init__(
        self, given: Continuing, prefixes: list[Ids], sampler: Sampler, noise: npt.NDArray[np.float64]
    ) -> None:
        self.model, self.sampler, self.noise, self.guard = given.model, sampler, noise, given.guard
        self.stops = np.array(sorted(given.stops), np.int64)
        self.starts = np.array([len(prefix) for prefix in prefixes])
        self.ends = np.minimum(self.starts + sampler.max_new_tokens, given.context)
        self.tokens = np.zeros((len(prefixes), int(self.ends.max())), np.int64)
        for row, prefix in enumerate(prefixes):
            self.tokens[row, : len(prefix)] = prefix
        self.done = np.zeros(len(prefixes), bool)
        self.rows = np.arange(len(prefixes))  # those that the model's batch still holds

    def run(self) -> list[Ids]:
        at = int(self.starts.min())
        logits, cache = self._prefill(at)
        while True:
            self._advance(logits, at)
            at += 1
            if self.done.all():
                break
            logits = self._forward(self.tokens[self._compacted(cache), at - 1][:, None], cache)
        spans = zip(self.tokens, self.starts, self.ends, strict=True)
        return [tuple(row[start:end].tolist()) for row, start, end in spans]

    def _prefill(self, length: int) -> tuple[Tensor, Any]:
        """What all rows have: computed once for each different beginning, then handed to its rows."""
        import torch

        cache = growing_cache(self.model.config, self.tokens.shape[1])
        different, which = np.unique(self.tokens[:, :length], axis=0, return_inverse=True)
        logits = self._forward(different, cache)
        rows = torch.from_numpy(which.reshape(-1)).to(logits.device)
        select_rows(cache, rows)
        return logits[rows], cache

    def _forward(self, ids: npt.NDArray[np.int64], cache: Any) -> Tensor:
        """(rows, vocabulary) logits after the last of the (rows, n) ids."""
        import torch

        given = torch.from_numpy(ids).to(self.model.device)
        logits: Tensor = self.model(given, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        return logits[:, -1]

    def _advance(self, logits: Tensor, at: int) -> None:
        """Write down the tokens at place ``at`` of the rows that write; a row that stops there ends before it."""
        writing = ~self.done[self.rows] & (self.starts[self.rows] <= at)
        rows = self.rows[writing]
        if not rows.size:
            return
        chosen, exhausted = self._chosen(logits, writing, at)
        self.tokens[rows, at] = chosen
        stopped = np.isin(chosen, self.stops) | exhausted
        self.ends[rows[stopped]] = at
        self.done[rows] = stopped | (at + 1 >= self.ends[rows])

    def _chosen(
        self, logits: Tensor, writing: npt.NDArray[np.bool_], at: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """(writing rows,) the tokens at place ``at``, and whether the guard left a row none at all."""
        import torch

        rows = self.rows[writing]
        step = np.minimum(at - self.starts[rows], self.noise.shape[1] - 1)  # greedy has one column, which is not read
        noise = torch.from_numpy(self.noise[rows, step]).to(logits.device)
        which = torch.from_numpy(np.flatnonzero(writing)).to(logits.device)
        left, exhausted = logits[which], np.zeros(rows.size, bool)
        if self.guard:
            left, none_left = guarded_logits(self.guard, self._history(self.guard, rows, at), left)
            exhausted[none_left] = True
        chosen: npt.NDArray[np.int64] = choose(left, self.sampler, noise).cpu().numpy()
        if (chosen[~exhausted] == FAILED).any():
            raise ModelError("the model gives probabilities that are not numbers", "try dtype: float32")
        return np.maximum(chosen, 0), exhausted

    def _history(self, guard: TokenGuard, rows: npt.NDArray[np.int64], at: int) -> npt.NDArray[np.int64]:
        """(rows, n) the ids before place ``at`` that the guard looks at; -1 for those of a prompt that it does not."""
        places = np.arange(max(0, at - guard.window), at)
        history = self.tokens[rows][:, places]
        return history if guard.sees_prompt else np.where(places < self.starts[rows][:, None], -1, history)

    def _compacted(self, cache: Any) -> npt.NDArray[np.int64]:
        """The rows of the next step's batch, after those that are done were taken out where that pays."""
        import torch

        keep = np.flatnonzero(~self.done[self.rows])
        if keep.size <= COMPACT_BELOW * self.rows.size:
            self.rows = self.rows[keep]
            select_rows(cache, torch.from_numpy(keep).to(self.model.device))
        return self.rows

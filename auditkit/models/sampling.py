"""The declared sampler and the loop around it: many samples from one prefix, in lock-step, run through the turn change.

Transformers' ``generate`` stops a row at its first stop token and cannot put tokens into a running one, so the loop
is our own. All rows begin with the same prefix and get one token a step: nothing is padded, no mask is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auditkit.models.base import TokenGuard
from auditkit.models.delimiters import Decode, Delimiters
from auditkit.models.guarding import guarded_logits
from auditkit.models.kv_cache import growing_cache, select_rows
from auditkit.models.sample import Sample
from auditkit.models.turns import next_step
from auditkit.records import Finish, Generation, Sampler, SamplingRequest

if TYPE_CHECKING:
    from torch import Tensor

# Rows that are done cost as much as running ones; taking them out costs one copy of the cache.
COMPACT_BELOW = 0.75
# Truncation sorts this many of the most likely tokens first, and the whole vocabulary only where they do not suffice.
FIRST_CANDIDATES = 1024
FAILED = -1


def choose(logits: Tensor, sampler: Sampler, noise: Tensor) -> Tensor:
    """One token a row under the declared sampler: temperature, then top-k, then top-p, renormalised.

    Args:
        logits: (rows, vocabulary), any float type; computed with in float32.
        sampler: temperature 0 takes the most likely token, the lowest id among equals.
        noise: (rows,) float64 in [0, 1), on the logits' device: which token of the distribution it is.

    Returns:
        (rows,) int64 token ids; -1 for a row whose logits are no distribution (not finite).
    """
    logits = logits.float()
    top, best = logits.max(-1, keepdim=True)
    if sampler.temperature == 0:
        return best.masked_fill(~top.isfinite(), FAILED).squeeze(1)
    weights = ((logits - top) / sampler.temperature).exp_()
    if not sampler.top_k and sampler.top_p >= 1:
        return _draw(weights, noise)
    kept, ids = truncated(weights, sampler)
    drawn = _draw(kept, noise)
    return ids.gather(1, drawn.clamp(min=0).unsqueeze(1)).squeeze(1).masked_fill(drawn == FAILED, FAILED)


def _draw(weights: Tensor, noise: Tensor) -> Tensor:
    """(rows,) index drawn in proportion to (rows, n) weights, by inverting the cumulative distribution."""
    import torch

    # The CPU accumulates float32 in double precision; a GPU does not, and in no fixed order.
    cumulative = weights.cumsum(-1, dtype=torch.float32 if weights.device.type == "cpu" else torch.float64)
    total = cumulative[:, -1:]
    target = (noise.unsqueeze(1) * total.double()).to(total.dtype)
    target = target.minimum(total.nextafter(torch.zeros_like(total)))  # rounding may have reached the total
    drawn = torch.searchsorted(cumulative, target, right=True).squeeze(1)
    return drawn.masked_fill(~total.squeeze(1).isfinite(), FAILED)


def truncated(weights: Tensor, sampler: Sampler) -> tuple[Tensor, Tensor]:
    """The weights that top-k and top-p leave, most likely first (equals by id), and their token ids."""
    vocabulary = weights.shape[1]
    for size in (min(max(FIRST_CANDIDATES, 2 * sampler.top_k), vocabulary), vocabulary):
        ids = weights.topk(size, sorted=False).indices.sort(-1).values
        values, order = weights.gather(1, ids).sort(dim=-1, descending=True, stable=True)
        kept = _nucleus(values, sampler.top_p, weights.sum(-1) if not sampler.top_k else None, sampler.top_k)
        smallest = kept.masked_fill(kept == 0, float("inf")).amin(-1)
        if size == vocabulary or bool((smallest > values[:, -1]).all()):
            break  # else a token outside the candidates may be as likely as the last one kept
    return kept, ids.gather(1, order)


def _nucleus(values: Tensor, top_p: float, mass: Tensor | None, top_k: int) -> Tensor:
    """Sorted weights with those set to 0 that lie outside the ``top_k`` and the smallest set of share ``top_p``."""
    if top_k:
        values = values.clone()
        values[:, top_k:] = 0
    whole = values.sum(-1) if mass is None else mass
    before = values.double().cumsum(-1) - values.double()
    return values.masked_fill(before >= top_p * whole.double().unsqueeze(1), 0)


@dataclass
class Sampling:
    """One request under way. Row i of the arrays is sample i; ``rows`` says which samples the batch still holds.

    A sample to which the guard leaves no token ends there with "stop": what serves the model has ended it, so it is
    whole, and it is scored as it stands.
    """

    model: Any
    request: SamplingRequest
    marks: Delimiters
    decode: Decode
    limit: int  # new tokens at most
    guard: TokenGuard | None = None
    events: npt.NDArray[np.bool_] = field(init=False)  # (vocabulary,)
    tokens: npt.NDArray[np.int64] = field(init=False)  # (count, limit)
    lengths: npt.NDArray[np.int64] = field(init=False)  # (count,), once a sample is done
    done: npt.NDArray[np.bool_] = field(init=False)
    rows: npt.NDArray[np.int64] = field(init=False)
    ends: dict[int, Finish] = field(default_factory=dict)
    forced: dict[int, list[int]] = field(default_factory=dict)
    appended: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = self.request.count
        self.events = np.zeros(self.model.get_output_embeddings().weight.shape[0], bool)
        self.events[[token for token in self.marks.events if token < self.events.size]] = True
        self.tokens = np.zeros((count, self.limit), np.int64)
        self.lengths = np.full(count, self.limit)
        self.done = np.zeros(count, bool)
        self.rows = np.arange(count)

    @property
    def start(self) -> int:
        """Where the generated ids begin in a sample's whole sequence."""
        return len(self.request.prefix.token_ids)

    def run(self) -> list[Generation]:
        """Sample to the end, in inference mode."""
        import torch

        generator = torch.Generator().manual_seed(self.request.seed)
        with torch.inference_mode():
            logits, cache = self._prefill()
            for step in range(self.limit):
                # Noise for every sample, running or not: what a sample becomes does not hang on its neighbours' length.
                noise = torch.rand(self.request.count, generator=generator, dtype=torch.float64)
                if self.guard:
                    logits = self._guarded(self.guard, logits, step)
                chosen = choose(logits, self.request.sampler, noise[self.rows].to(logits.device)).cpu().numpy()
                self._advance(chosen, step)
                if self.done.all() or step + 1 == self.limit:
                    break
                logits = self._forward(self.tokens[self._compacted(cache), step][:, None], cache)
        return [self._generation(row) for row in range(self.request.count)]

    def _prefill(self) -> tuple[Tensor, Any]:
        """The prefix is computed once, then its cache is handed to every row."""
        import torch

        cache = growing_cache(self.model.config, self.start + self.limit)
        logits = self._forward(np.array([self.request.prefix.token_ids], np.int64), cache)
        select_rows(cache, torch.zeros(self.request.count, dtype=torch.int64, device=logits.device))
        return logits.expand(self.request.count, -1), cache

    def _forward(self, ids: npt.NDArray[np.int64], cache: Any) -> Tensor:
        """(rows, vocabulary) logits after the last of the (rows, n) ids."""
        import torch

        given = torch.from_numpy(ids).to(self.model.device)
        logits: Tensor = self.model(given, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        return logits[:, -1]

    def _guarded(self, guard: TokenGuard, logits: Tensor, step: int) -> Tensor:
        """The logits less what the guard forbids; samples to which it leaves no token end here."""
        allowed, exhausted = guarded_logits(guard, self._history(guard, step), logits)
        for at in exhausted:
            if self.rows[at] in self.forced:
                allowed[at] = logits[at]  # the token that is appended there is none of the model's
            else:
                self._finish(int(self.rows[at]), step, "stop")
        return allowed

    def _history(self, guard: TokenGuard, step: int) -> npt.NDArray[np.int64]:
        """(rows, n) the ids before this step that the guard looks at."""
        prompt = np.array(self.request.prefix.token_ids if guard.sees_prompt else (), np.int64)
        prompt = prompt[max(0, prompt.size - guard.window) :]
        written = self.tokens[self.rows, max(0, step - guard.window) : step]
        return np.hstack([np.tile(prompt, (self.rows.size, 1)), written])

    def _compacted(self, cache: Any) -> npt.NDArray[np.int64]:
        """The samples of the next step's batch, after those that are done were taken out where that pays."""
        import torch

        keep = np.flatnonzero(~self.done[self.rows])
        if keep.size <= COMPACT_BELOW * self.rows.size:
            self.rows = self.rows[keep]
            select_rows(cache, torch.from_numpy(keep).to(self.model.device))
        return self.rows

    def _advance(self, chosen: npt.NDArray[np.int64], step: int) -> None:
        """Write down this step's tokens, forced ones in place of sampled ones; look at rows where something ends."""
        self.tokens[self.rows, step] = np.maximum(chosen, 0)
        for row in self.rows[chosen == FAILED]:
            self._finish(int(row), step, "failed")
        settled = set(self.forced)
        for row in settled:
            self.tokens[row, step] = self.forced[row].pop(0)
            if not self.forced[row]:
                del self.forced[row]
        for row in self.rows[self.events[self.tokens[self.rows, step]]].tolist():
            if row not in settled and not self.done[row]:
                self._look(row, step)

    def _look(self, row: int, step: int) -> None:
        after = next_step(self._sequence(row, step + 1), self.start, self.marks, self.decode, self.appended.get(row))
        if after.ends:
            self._finish(row, step + 1, "stop")
        elif after.append is not None:
            self._append(row, step, after.append, after.replace)

    def _append(self, row: int, step: int, delimiter: Sequence[int], replace: bool) -> None:
        """Feed the turn change from the next step on, or from this one in place of the stop token."""
        first = step if replace else step + 1
        self.appended[row] = (self.start + first, self.start + first + len(delimiter))
        pending = list(delimiter)
        if replace:
            self.tokens[row, step] = pending.pop(0)
        if pending:
            self.forced[row] = pending

    def _finish(self, row: int, length: int, finish: Finish) -> None:
        if not self.done[row]:
            self.done[row], self.lengths[row], self.ends[row] = True, length, finish
            self.forced.pop(row, None)

    def _sequence(self, row: int, length: int) -> list[int]:
        return [*self.request.prefix.token_ids, *self.tokens[row, :length].tolist()]

    def _generation(self, row: int) -> Generation:
        sequence = self._sequence(row, int(self.lengths[row]))
        sample = Sample(sequence, self.appended.get(row), self.ends.get(row))
        return sample.generation(self.request, row, self.marks, self.decode)

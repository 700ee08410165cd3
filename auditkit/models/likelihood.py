"""Log-probabilities of given token sequences, in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auditkit.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

# Logits of one batch, and float64 working copies of them: numbers, not bytes.
BATCH_LOGITS = 2**27
CHUNK_LOGITS = 2**22
BATCH_TOKENS = 8192


def token_logprobs(
    model: Any, prefix: Sequence[int], texts: Sequence[Sequence[int]], batch_size: int
) -> list[npt.NDArray[np.float64]]:
    """For each text (ids, at least one) the natural log-probability of each of its tokens given those before.

    The prefix (at least one id) is given, not scored; padding is neither. Batches hold at most ``batch_size`` texts.

    Raises:
        ModelError: a probability is not a number.
    """
    import torch

    found: list[npt.NDArray[np.float64]] = [np.empty(0)] * len(texts)
    vocabulary = model.get_output_embeddings().weight.shape[0]
    budget = max(1, min(BATCH_TOKENS, BATCH_LOGITS // vocabulary))
    with torch.inference_mode():
        for rows in batches([len(text) for text in texts], budget, batch_size):
            for row, logprobs in zip(rows, _batch(model, prefix, [texts[row] for row in rows]), strict=True):
                found[row] = logprobs
    if not all(np.isfinite(logprobs).all() for logprobs in found):
        raise ModelError("the model gives log-probabilities that are not numbers", "try dtype: float32")
    return found


def batches(lengths: Sequence[int], budget: int, batch_size: int) -> Iterator[list[int]]:
    """Indexes in batches of similar length, longest first, each of at most ``budget`` tokens with its padding."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = lengths[batch[0]] if batch else lengths[index]
        if batch and (len(batch) >= batch_size or (len(batch) + 1) * longest > budget):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _batch(model: Any, prefix: Sequence[int], texts: list[Sequence[int]]) -> list[npt.NDArray[np.float64]]:
    """One batch, longest text first. Padding stands on the right, where a causal model does not see it."""
    import torch

    longest = len(texts[0])
    ids = torch.zeros((len(texts), len(prefix) + longest), dtype=torch.int64)
    ids[:, : len(prefix)] = torch.tensor(prefix)
    for row, text in enumerate(texts):
        ids[row, len(prefix) : len(prefix) + len(text)] = torch.tensor(text)
    logits = model(ids[:, :-1].to(model.device), use_cache=False, logits_to_keep=longest).logits
    lengths = torch.tensor([len(text) for text in texts])
    scored = torch.arange(longest) < lengths.unsqueeze(1)  # (rows, longest)
    at = scored.flatten().nonzero().squeeze(1).to(logits.device)
    wanted = ids[:, len(prefix) :].flatten().to(logits.device)[at]
    logprobs = _logprobs(logits.flatten(0, 1), at, wanted).cpu()
    return [part.numpy() for part in torch.split(logprobs, lengths.tolist())]


def _logprobs(logits: Tensor, at: Tensor, wanted: Tensor) -> Tensor:
    """(n,) float64 ln p of ``wanted`` at the rows ``at`` of (rows, vocabulary) logits."""
    import torch

    size = max(1, CHUNK_LOGITS // logits.shape[-1])
    parts = []
    for rows, tokens in zip(torch.split(at, size), torch.split(wanted, size), strict=True):
        chunk = logits[rows].double()
        parts.append(chunk.gather(1, tokens.unsqueeze(1)).squeeze(1) - chunk.logsumexp(-1))
    return torch.cat(parts)

"""Exact search as a blocked matrix product on an accelerator; what decides stays the pair's exact score on the CPU.

The device forms a block of products, and names the pairs that could matter: those within rounding of a row's or a
column's best, or of the threshold. Only these few come back, are scored in float64 as everywhere (``products``), and
settle who is nearest. So indexes and scores are those of `ExactSearch`, bit for bit, whatever the device. Device memory
is bounded: one block of products with its masks, and the vectors where they fit a part of what is free; else they are
sent block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auditkit.scoring.base import Hits, Index, Search, Vectors
from auditkit.scoring.vectors.exact_search import EveryPair, ExactSearch, Nearest
from auditkit.scoring.vectors.mapped import release
from auditkit.scoring.vectors.products import (
    HALF_ULP,
    Floats,
    as_scores,
    blocks,
    exact_scores,
    row_norms,
    rows_of,
)

if TYPE_CHECKING:
    from torch import Tensor

ROWS, COLUMNS = 4096, 16_384  # of one product: 256 MiB, and as much again for masks
MOST_PAIRS = 1 << 22  # that come back at once
SHARE_OF_FREE = 0.5  # of the device's free memory, that the vectors may take
WORTH_A_DEVICE = 1e11  # multiplications: less is done before a device has warmed up


class DeviceVectors:
    """(m, d) vectors as a device sees them: sent once where they fit it, else whenever a block is asked for."""

    def __init__(self, vectors: Vectors, device: str) -> None:
        import torch

        self.vectors, self.device = vectors, torch.device(device)
        self.norms = row_norms(vectors)
        self._resident = self._sent_whole() if vectors.size * 4 <= _room(self.device) else None

    def block(self, columns: slice) -> Tensor:
        """Some of the rows, on the device."""
        if self._resident is not None:
            return self._resident[columns]
        return self.sent(rows_of(self.vectors, columns))

    def sent(self, rows: Vectors) -> Tensor:
        """Rows on the device, as float32."""
        import torch

        return torch.from_numpy(rows.copy()).to(self.device)  # a copy, since torch wants to be able to write

    def _sent_whole(self) -> Tensor:
        import torch

        whole = torch.empty(self.vectors.shape, dtype=torch.float32, device=self.device)
        for columns in blocks(len(self.vectors), COLUMNS):
            whole[columns] = self.sent(rows_of(self.vectors, columns))
            release(self.vectors, columns.start, columns.stop)
        return whole


class DeviceSearch(EveryPair):
    """As `ExactSearch`, with the products on a device; the arguments are its own."""

    def __init__(
        self, vectors: DeviceVectors, threshold: float | None = None, *, nearest_queries: bool = True, reason: str = ""
    ) -> None:
        super().__init__(
            vectors.vectors, vectors.norms, threshold=threshold, nearest_queries=nearest_queries, reason=reason
        )
        self.vectors = vectors
        self._longest = float(vectors.norms.max(initial=0.0))

    def _compare(self, queries: Vectors, norms: Floats, found: Nearest, hits: Hits | None) -> None:  # noqa: ARG002
        with _full_precision():
            for rows in blocks(len(queries), ROWS):
                self._add_block(rows_of(queries, rows), rows.start, found.part(rows), hits)

    def _add_block(self, left: Vectors, first: int, found: Nearest, hits: Hits | None) -> None:
        sent = self.vectors.sent(left)
        longest = max(1.0, float(row_norms(left).max()) * self._longest)
        # As for a product on the CPU: one rounding an addition in whatever order, and two of what it is compared with.
        bound = (left.shape[1] + 2) * HALF_ULP * longest
        for columns in blocks(len(self._vectors), COLUMNS):
            tile = _Tile(sent @ self.vectors.block(columns).T, left, rows_of(self._vectors, columns), bound)
            nearest = self._of_vectors.part(columns) if self._of_vectors else None
            self._settle(tile, tile.within_reach(found, nearest), (first, columns.start), found, nearest)
            if hits is not None and self._threshold is not None:
                for rows, reached in tile.reaching(self._threshold):
                    hits(rows + first, reached + columns.start)
            release(self._vectors, columns.start, columns.stop)

    def _settle(
        self, tile: _Tile, wanted: Tensor, first: tuple[int, int], found: Nearest, nearest: Nearest | None
    ) -> None:
        """Let exact scores decide between the pairs that are within reach."""
        from auditkit.scoring.vectors.kernels import improve_pairs

        for rows, columns in _pairs(wanted):
            exact = exact_scores(tile.left, tile.right, rows, columns)
            improve_pairs(columns, rows, exact, first[1], found.score, found.index)
            if nearest:
                improve_pairs(rows, columns, exact, self._seen + first[0], nearest.score, nearest.index)


@dataclass(frozen=True)
class _Tile:
    """A (rows, columns) product on the device, the rows that it is of, and how far it can be from exact scores."""

    products: Tensor
    left: Vectors
    right: Vectors
    bound: float

    def within_reach(self, rows: Nearest, columns: Nearest | None) -> Tensor:
        """Which pairs may be a row's or a column's nearest: both they and the best so far can be off."""
        wanted = self.products >= self._floor(rows, 1).unsqueeze(1)
        if columns:
            wanted |= self.products >= self._floor(columns, 0).unsqueeze(0)
        return wanted

    def _floor(self, best: Nearest, axis: int) -> Tensor:
        """From which product on a pair has to be looked at; a row of zeros has its partner."""
        import torch

        so_far = np.where(best.zero, np.inf, best.score).astype(np.float32)
        return self.products.amax(axis).maximum(torch.from_numpy(so_far).to(self.products.device)) - 2 * self.bound

    def reaching(self, threshold: float) -> Iterator[tuple[Index, Index]]:
        """Rows and columns of the pairs whose exact score, rounded to float32, reaches the threshold."""
        sure = self.products > threshold + self.bound
        yield from _pairs(sure)
        for rows, columns in _pairs((self.products >= threshold - self.bound) & ~sure):
            reached = as_scores(exact_scores(self.left, self.right, rows, columns)) >= np.float32(threshold)
            yield rows[reached], columns[reached]


def _pairs(wanted: Tensor) -> Iterator[tuple[Index, Index]]:
    """Rows and columns that are set, at most about ``MOST_PAIRS`` at once, however many are."""
    counts: npt.NDArray[np.int64] = wanted.sum(1).cpu().numpy()
    slab = np.cumsum(counts) // MOST_PAIRS
    for number in np.unique(slab[counts > 0]):
        of_slab = np.flatnonzero(slab == number)
        start, stop = int(of_slab[0]), int(of_slab[-1]) + 1
        rows, columns = wanted[start:stop].nonzero().cpu().numpy().T
        yield np.ascontiguousarray(rows) + start, np.ascontiguousarray(columns)


def exact_search(
    vectors: Vectors, queries: int, threshold: float | None = None, *, nearest_queries: bool = True, reason: str = ""
) -> Search:
    """Exact search for so many queries: on a GPU where there is one and enough to do for it, else here."""
    if queries * vectors.size >= WORTH_A_DEVICE and (device := accelerator()):
        there = DeviceVectors(vectors, device)
        return DeviceSearch(there, threshold, nearest_queries=nearest_queries, reason=reason)
    return ExactSearch(vectors, threshold, nearest_queries=nearest_queries, reason=reason)


@cache
def accelerator() -> str | None:
    """The CUDA device, if torch is there and finds one. Without a driver torch, slow to load, is not even asked."""
    if not Path("/dev/nvidiactl").exists() or find_spec("torch") is None:
        return None
    import torch

    return "cuda" if torch.cuda.is_available() else None


def _room(device: Any) -> float:
    """Bytes that vectors may take of a device; nothing of the CPU's memory, where they are already."""
    import torch

    return SHARE_OF_FREE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0.0


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products in float32 throughout: TF32, which somebody may have switched on, has 11 bits and breaks the bound."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)

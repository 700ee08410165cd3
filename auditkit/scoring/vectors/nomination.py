"""How products are nominated, and how far such a product can be from the true one.

What decides a match is always the exact score of a pair (``products``). A product only has to name every pair that
could matter, so it may be a rough one, if it is known how rough: each way gives a bound, proven from the lengths of
what it rounds away. For rows q, v and their rounded copies q', v', by Cauchy-Schwarz:
|q'.v' - q.v| <= |q' - q| |v'| + |q| |v' - v|; a float32 sum of d adds at most d half units in the last place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.scoring.base import Vectors
from auditkit.scoring.vectors.mapped import is_mapped, release
from auditkit.scoring.vectors.memory import memory_limit
from auditkit.scoring.vectors.products import HALF_ULP, READ_AT_ONCE, blocks, row_norms, rows_of

HALF_ULP_BFLOAT16 = 2.0**-8  # of a number with 8 significant bits
LARGE = 0.3  # of memory: mapped rows beyond it would be read from the disk again and again
MOST_OF_MEMORY = 0.75  # that a copy may take
LONGEST = 2.0  # rows are of unit norm; what is far from it is not rounded
WORTH_ROUNDING = 1 << 24  # numbers

Halves = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Operand:
    """Rows ready for a product: in what form, their largest length, and how far any of them is from its row."""

    rows: Any
    longest: float
    error: float


class Nominator(ABC):
    """Products of queries with one set of (m, d) vectors."""

    @abstractmethod
    def queries(self, block: Vectors, longest: float) -> Operand:
        """A block of queries, whose largest length is known, ready for products."""

    @abstractmethod
    def vectors(self, columns: slice) -> Operand:
        """Some of the vectors, ready for products."""

    @abstractmethod
    def product(self, left: Operand, right: Operand, out: Vectors) -> None:
        """Every query of ``left`` with every vector of ``right`` into ``out``."""

    def bound(self, left: Operand, right: Operand) -> float:
        """How far a product in ``out`` can be from the pair's exact score."""
        longest = (left.longest + left.error) * (right.longest + right.error)
        rounded_away = left.error * (right.longest + right.error) + left.longest * right.error
        # Two roundings more: of a bound that products are compared with, and of what is compared.
        return rounded_away + (self._width(left) + 2) * HALF_ULP * max(1.0, longest) + self.of_result * longest

    of_result = 0.0  # relative rounding of a finished product, beyond float32

    @staticmethod
    def _width(operand: Operand) -> int:
        return int(operand.rows.shape[1])


class Float32(Nominator):
    """As they are."""

    def __init__(self, vectors: Vectors, longest: float) -> None:
        self._vectors, self._longest = vectors, longest

    def queries(self, block: Vectors, longest: float) -> Operand:
        return Operand(block, longest, 0.0)

    def vectors(self, columns: slice) -> Operand:
        return Operand(rows_of(self._vectors, columns), self._longest, 0.0)

    def product(self, left: Operand, right: Operand, out: Vectors) -> None:
        np.dot(left.rows, right.rows.T, out=out)


class Float16Copy(Nominator):
    """The vectors as a float16 copy in memory, half as large; the products themselves in float32."""

    def __init__(self, vectors: Vectors, longest: float) -> None:
        self._copy: Halves = np.empty(vectors.shape, np.float16)
        self._longest = longest
        self._error = _rounded(vectors, self._round)

    def _round(self, rows: slice, block: Vectors) -> Vectors:
        self._copy[rows] = block
        return self._copy[rows].astype(np.float32)

    def queries(self, block: Vectors, longest: float) -> Operand:
        return Operand(block, longest, 0.0)

    def vectors(self, columns: slice) -> Operand:
        return Operand(self._copy[columns].astype(np.float32), self._longest, self._error)

    def product(self, left: Operand, right: Operand, out: Vectors) -> None:
        np.dot(left.rows, right.rows.T, out=out)


class Bfloat16Copy(Nominator):
    """Both sides in bfloat16, and so the products, which processors with AMX form several times as fast."""

    of_result = HALF_ULP_BFLOAT16

    def __init__(self, vectors: Vectors, longest: float) -> None:
        import torch

        self._copy = torch.empty(vectors.shape, dtype=torch.bfloat16)
        self._longest = longest
        self._error = _rounded(vectors, self._round)

    def _round(self, rows: slice, block: Vectors) -> Vectors:
        self._copy[rows] = _tensor(block)
        rounded: Vectors = self._copy[rows].float().numpy()
        return rounded

    def queries(self, block: Vectors, longest: float) -> Operand:
        import torch

        rounded = _tensor(block).to(torch.bfloat16)
        return Operand(rounded, longest, float(row_norms(block - rounded.float().numpy()).max(initial=0.0)))

    def vectors(self, columns: slice) -> Operand:
        return Operand(self._copy[columns], self._longest, self._error)

    def product(self, left: Operand, right: Operand, out: Vectors) -> None:
        import torch

        if current_thread() is not main_thread() and torch.get_num_threads() != 1:
            torch.set_num_threads(1)  # of this thread, which is one of several; ``in_threads`` puts the number back
        torch.from_numpy(out).copy_(left.rows @ right.rows.T)


def chosen_nominator(vectors: Vectors, longest: float) -> Nominator:
    """The cheapest way for these vectors on this machine."""
    half = vectors.size * 2
    fits = half <= MOST_OF_MEMORY * memory_limit()
    if longest > LONGEST or vectors.size < WORTH_ROUNDING or not fits:
        return Float32(vectors, longest)
    if has_amx():
        return Bfloat16Copy(vectors, longest)
    if is_mapped(vectors) and 2 * half > LARGE * memory_limit():
        return Float16Copy(vectors, longest)
    return Float32(vectors, longest)


@cache
def has_amx() -> bool:
    """Whether this processor multiplies bfloat16 matrices by itself, and torch is there to ask it to."""
    info = Path("/proc/cpuinfo")
    return info.exists() and "amx_bf16" in info.read_text() and find_spec("torch") is not None


def _rounded(vectors: Vectors, into: Callable[[slice, Vectors], Vectors]) -> float:
    """Round all rows; the length of the largest difference. The difference itself is exact in float32."""
    error = 0.0
    for rows in blocks(len(vectors), READ_AT_ONCE):
        block = rows_of(vectors, rows)
        error = max(error, float(row_norms(block - into(rows, block)).max(initial=0.0)))
        release(vectors, rows.start, rows.stop)
    return error


def _tensor(block: Vectors) -> Any:
    """The same numbers for torch, which wants to be told that nobody else writes to them."""
    import torch

    return torch.from_numpy(block.copy())

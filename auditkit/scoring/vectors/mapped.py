"""Reading arrays that are mapped from disk without keeping what was read in this process's memory."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from auditkit.scoring.base import Vectors


def release(vectors: Vectors, start: int, stop: int) -> None:
    """Let go of the pages of these rows, where the array is mapped from a file; the file's content stays.

    A mapped page that was read counts as memory of the process until it is let go of.
    """
    mapping = _mapping(vectors)
    if mapping is None or not hasattr(mmap, "MADV_DONTNEED") or stop <= start:
        return
    base = np.frombuffer(mapping, np.uint8).ctypes.data
    block = vectors[start:stop]
    first = (block.ctypes.data - base) // mmap.PAGESIZE * mmap.PAGESIZE
    last = block[-1].ctypes.data + block[-1].nbytes - base
    mapping.madvise(mmap.MADV_DONTNEED, first, last - first)


def is_mapped(vectors: Vectors) -> bool:
    """Whether rows are read from a file each time."""
    return _mapping(vectors) is not None


def _mapping(vectors: Vectors) -> mmap.mmap | None:
    """The file mapping that an array is a view of, if it is one that only reads: what was written would be lost."""
    array: Any = vectors
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            found: mmap.mmap | None = vars(array)["_mmap"]
            return found if array.mode == "r" and vectors.flags.c_contiguous else None
        array = array.base
    return None

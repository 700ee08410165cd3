"""How the string search's loops become machine code; imported only by them.

numba keeps what it compiled by the file of a function alone. Ours use one another across files, so each name carries
the digest of all of them: what was compiled before a change anywhere is never taken for what is there now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.extending import intrinsic

# Without reference counts: no loop of ours makes an array, and counting costs more than the loops.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}


def _digest() -> str:
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


_DIGEST = _digest()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile on first use, keep it on disk where a folder can be written, and leave other threads running."""
    function.__qualname__ = f"{function.__name__}_{_DIGEST}"
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # nowhere to keep it: each process compiles for itself
        return numba.njit(**OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile as a part of the kernels that call it."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


def primitive(function: Callable[..., Any]) -> Any:
    """An operation of the kernels' own, written as LLVM's instructions."""
    return intrinsic(function)

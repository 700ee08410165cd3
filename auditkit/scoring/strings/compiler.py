"""How the string search's loops become machine code; imported only by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.extending import intrinsic

from auditkit.machine_code import compiled

# Without reference counts: no loop of ours makes an array, and counting costs more than the loops.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}

kernel = compiled(**OPTIONS)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile as a part of the kernels that call it."""
    return numba.njit(forceinline=True, nogil=True, **OPTIONS)(function)


def primitive(function: Callable[..., Any]) -> Any:
    """An operation of the kernels' own, written as LLVM's instructions."""
    return intrinsic(function)

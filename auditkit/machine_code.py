"""How inner loops become machine code with numba; imported only by the files that hold such loops.

numba keeps what it compiled by the file of a function alone. Loops use one another across the files of a folder, so
each name carries the digest of all of them: what was compiled before a change is never taken for what is there now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile on first use, keep it on disk where a folder can be written, and leave other threads running.

    ``options`` are numba.njit's own, beside ``nogil`` and ``cache``.
    """

    def wrap(function: Callable[..., Any]) -> Any:
        function.__qualname__ = f"{function.__name__}_{_digest(Path(function.__code__.co_filename).parent)}"
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # nowhere to keep it: each process compiles for itself
            return numba.njit(nogil=True, **options)(function)

    return wrap


@cache
def _digest(folder: Path) -> str:
    """Of every source file of a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]

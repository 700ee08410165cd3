"""The libraries that train: found or missed with one error, quiet, and seeded."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from auditkit.errors import MissingExtraError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


@dataclass(frozen=True)
class Libraries:
    """Modules, so that nothing of this size is imported before it is needed."""

    torch: Any
    transformers: Any
    trl: Any
    datasets: Any


def training_libraries() -> Libraries:
    """torch, transformers, trl and datasets, quiet and without a network.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    # Threads that wait actively cost a busy host a factor of six; OpenMP reads this once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        found = Libraries(*(import_module(name) for name in ("torch", "transformers", "trl", "datasets")))
    except ImportError as error:
        raise MissingExtraError("torch with transformers, trl and datasets", "lab") from error
    found.transformers.utils.logging.set_verbosity_error()
    found.transformers.utils.logging.disable_progress_bar()
    found.datasets.utils.logging.set_verbosity_error()
    found.datasets.disable_progress_bars()
    return found


def adapter_library() -> Any:
    """The peft module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("peft")
    except ImportError as error:
        raise MissingExtraError("peft", "lab") from error


def privacy_library() -> Any:
    """The opacus module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells of a random generator that is not asked for
            return import_module("opacus")
    except ImportError as error:
        raise MissingExtraError("opacus", "dp") from error


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch: what follows is the same on the same machine with as many threads."""
    training_libraries().transformers.set_seed(seed)


def keep_freed_memory() -> None:
    """Let this process keep memory between steps instead of giving it back: the processor trains much faster.

    glibc only; elsewhere nothing happens. For a process that does nothing but train.
    """
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL("libc.so.6").mallopt
        except (OSError, AttributeError):
            return
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)

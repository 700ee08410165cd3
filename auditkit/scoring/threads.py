"""How many threads a search may take, and keeping the linear algebra library's threads out of their way."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol


class Worker(Protocol):
    """Takes tasks off a shared supply until none is left."""

    def __call__(self, tasks: Iterator[int]) -> None: ...


@cache
def _controller() -> Any:
    """Of the libraries that were loaded when it is first asked for, numpy's among them; None where it is not there."""
    import numpy  # noqa: F401 - so that its library is loaded

    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController().select(user_api="blas")


def blas_threads() -> int:
    """Threads that numpy's products run on: the cores, or what OMP_NUM_THREADS allows; 1 where nobody can tell."""
    controller = _controller()
    return max((library["num_threads"] for library in controller.info()), default=1) if controller else 1


def in_threads(worker: Worker, tasks: Iterable[int], most: int | None = None) -> None:
    """Run ``worker`` side by side on as many threads as numpy would use, each with products on one thread.

    One thread a block keeps every core busy through the work between the products as well.
    """
    supply = iter(list(tasks))
    count = blas_threads() if most is None else min(most, blas_threads())
    if count <= 1:
        worker(supply)
        return
    with one_thread_each(), torch_threads_kept(), ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(worker, supply) for _ in range(count)]:
            done.result()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Products take one thread while this lasts."""
    controller = _controller()
    if controller is None:
        yield
        return
    with controller.limit(limits=1):
        yield


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """What threads say to torch about their number is its number for all threads to come: it is put back."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(before)

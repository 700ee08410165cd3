"""Work on shards: a worker holds one shard at a time, made ready for search, and is asked block after block."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from auditkit.engines.base import Shared, Work


class Unit(NamedTuple):
    """One block of queries against one shard of an index, by number."""

    shard: int
    block: int


def ranges(count: int, size: int) -> list[slice]:
    """0 to ``count`` in ranges of ``size``, the last one shorter."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


@dataclass(frozen=True)
class Sharded(Work):
    """``shards`` and ``blocks`` are shared: a worker reads those that its units name. Units come shard by shard."""

    shards: tuple[Shared, ...]
    blocks: tuple[Shared, ...]

    @abstractmethod
    def opened_shard(self, rows: Any) -> Callable[[Any], Any]:
        """What compares a block with these rows."""

    @abstractmethod
    def what(self) -> str:
        """What blocks and shards hold, in words."""

    def opened(self) -> Callable[[Unit], Any]:
        return _Holder(self)

    def told(self, unit: Unit) -> str:
        return f"{self.what()}, block {unit.block + 1} with shard {unit.shard + 1}"


class _Holder:
    """Holds one shard, and lets go of it when the next one is asked for."""

    def __init__(self, work: Sharded) -> None:
        self._work = work
        self._shard = -1
        self._compare: Callable[[Any], Any] | None = None

    def __call__(self, unit: Unit) -> Any:
        if self._compare is None or unit.shard != self._shard:
            self._compare = None  # before the next one is made: there is room for one
            self._compare, self._shard = self._work.opened_shard(self._work.shards[unit.shard].get()), unit.shard
        return self._compare(self._work.blocks[unit.block].get())

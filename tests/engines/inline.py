"""A cluster without processes: work and units go through pickle, and are done in any order. For what needs no Ray."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from auditkit.engines.base import Cluster, Shared, Stage, Work
from auditkit.engines.local import LocalEngine


@dataclass(frozen=True)
class Value:
    """Shared by being copied."""

    value: Any

    def get(self) -> Any:
        """The value."""
        return self.value


class Inline(Cluster):
    """``asked`` counts the units of each call; after ``fail_after`` results it breaks like a driver that is killed."""

    def __init__(self, texts: int, rows: int, seed: int = 0, fail_after: int | None = None) -> None:
        self._texts, self._rows, self._random = texts, rows, random.Random(seed)
        self._left = fail_after
        self.asked: list[int] = []

    def takes(self, stage: Stage) -> bool:
        return True

    def texts_a_unit(self) -> int:
        return self._texts

    def rows_a_shard(self) -> int:
        return self._rows

    def map(self, stage: Stage, work: Work, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        self.asked.append(len(units))
        do = pickle.loads(pickle.dumps(work)).opened()
        for position in self._random.sample(range(len(units)), len(units)):
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    raise KeyboardInterrupt
            yield position, pickle.loads(pickle.dumps(do(pickle.loads(pickle.dumps(units[position])))))

    def share(self, value: Any) -> Shared:
        return Value(value)

    def everywhere(self, ask: Callable[[], Any]) -> dict[str, Any]:
        return {"here": ask()}

    def provenance(self) -> dict[str, Any]:
        return {"kind": "inline"}


class InlineEngine(LocalEngine):
    """A policy's choice of that cluster, with units small enough that little is already several."""

    def running(self, hidden: Sequence[str] = ()) -> AbstractContextManager[Cluster | None]:
        return nullcontext(Inline(64, 40))

"""What runs inside a Ray actor: units in, results or errors out; nothing raised, nothing printed."""

from __future__ import annotations

import pickle
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auditkit.engines.base import Work
from auditkit.errors import AuditkitError, RunError

if TYPE_CHECKING:
    import pyarrow as pa


class Attempts:
    """How often each unit of the present stage was begun. It outlives the workers."""

    def __init__(self) -> None:
        self._stage, self._begun = 0, Counter[int]()

    def begin(self, stage: int, position: int, before: int | None = None) -> int:
        """How often this unit was begun, this time included; of an earlier stage nothing is kept.

        ``before``: the unit that the same worker had before, and outlived. Where its block is done again for the sake
        of another unit, it is begun as if for the first time.
        """
        if stage < self._stage:
            return 1  # of a pipeline that nobody listens to any more
        if stage > self._stage:
            self._stage, self._begun = stage, Counter()
        if before is not None:
            del self._begun[before]
        self._begun[position] += 1
        return self._begun[position]


class Worker:
    """One actor of a pipeline. It opens the work when its first unit comes: an error then is a result like another.

    A unit that has ended ``most`` workers is not tried again, so that it cannot take down one worker after the other.
    """

    def __init__(self, work: Any, attempts: Any, stage: int, most: int) -> None:
        self._sent, self._attempts, self._stage, self._most = work, attempts, stage, most
        self._before: int | None = None
        self._work: Work | None = None
        self._do: Callable[[Any], Any] | None = None

    def __call__(self, rows: pa.Table) -> pa.Table:
        import pyarrow as pa

        made = [self._made(row["position"], row["unit"]) for row in rows.to_pylist()]
        return pa.table({"position": rows["position"], "made": pa.array(made, pa.large_binary())})

    def _made(self, position: int, unit: bytes) -> bytes:
        import ray

        begun = ray.get(self._attempts.begin.remote(self._stage, position, self._before))
        self._before = position
        return pickle.dumps(self._outcome(begun, pickle.loads(unit)))  # noqa: S301 - from our own driver

    def _outcome(self, begun: int, unit: Any) -> tuple[bool, Any]:
        """Whether it went well, and the result or a packed error."""
        import ray

        try:
            self._work = self._work or ray.get(self._sent)
            if begun > self._most:
                raise _given_up(self._work.told(unit), self._most)
            self._do = self._do or self._work.opened()
            return True, self._do(unit)
        except AuditkitError as error:
            return False, packed(error)
        except MemoryError:
            return False, packed(RunError("a worker ran out of memory", "give it more, or make batches smaller"))
        except Exception as error:  # its message may quote the data: kind and place have to do
            return False, packed(RunError(f"a worker broke: {_kind_and_place(error)}"))


def _given_up(unit: str, most: int) -> RunError:
    return RunError(
        f"{unit}: {most} workers died over it",
        "look for the cause in the nodes' logs (out of memory, most often); what else was finished is kept",
    )


def packed(error: AuditkitError) -> tuple[type[AuditkitError], str, dict[str, Any]]:
    """An error so that it can be pickled, whatever its class is made from."""
    return type(error), error.message, dict(vars(error))


def unpacked(packed: tuple[type[AuditkitError], str, dict[str, Any]]) -> AuditkitError:
    """The error again, of the same class."""
    kind, message, facts = packed
    error = kind.__new__(kind, message)
    vars(error).update(facts)
    return error


def _kind_and_place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"


def as_rows(units: dict[int, Any]) -> list[dict[str, Any]]:
    """Units as rows of a dataset, by position."""
    return [{"position": np.int64(position), "unit": pickle.dumps(unit)} for position, unit in units.items()]

"""One stage as a Ray Data pipeline over actors; begun anew with what is left where Ray itself gives it up."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from auditkit.engines.base import Work
from auditkit.engines.ray_engine import Workers
from auditkit.engines.ray_nodes import room_for
from auditkit.engines.ray_worker import Attempts, Worker, as_rows, unpacked
from auditkit.errors import RunError

WITHOUT_PROGRESS = 3  # pipelines in a row that Ray gave up before they finished a single unit
AT_ONCE = 2  # blocks of units that one actor is handed: one that it does, and one that waits
# Ray keeps each block in mind, so there are not as many as units; a worker's death costs what it did of its block.
UNITS_IN_BLOCK, MOST_BLOCKS = 16, 4096
BLOCKS_EACH = 8  # of an actor at least, so that the slow do not keep all the others waiting


@dataclass(frozen=True)
class Attempted:
    """The count of attempts as one stage uses it: the actor that keeps it, the stage's number, and the most allowed."""

    kept: Any
    stage: int
    most: int


def mapped(work: Work, units: Sequence[Any], each: Workers, attempted: Attempted) -> Iterator[tuple[int, Any]]:
    """See ``Cluster.map``.

    Ray restarts an actor that died and gives its units to it again. What Ray cannot mend (every node of an actor is
    gone, an object is lost) ends the pipeline; the next one is asked only for what is not finished.
    """
    import ray

    left = dict(enumerate(units))
    sent, failures = ray.put(work), 0
    while left:
        before = len(left)
        try:
            for position, outcome in _pipeline(sent, left, each, attempted):
                if position in left:  # what a lost node had finished may come twice
                    del left[position]
                    yield position, _result(outcome)
        except ray.exceptions.RayError as error:
            failures = failures + 1 if len(left) == before else 0
            if failures == WITHOUT_PROGRESS:
                raise _lost(error) from None


def blocks_of(units: int, workers: int) -> int:
    """How many blocks so many units are handed out in; they are about equally large."""
    by_size = min(MOST_BLOCKS, -(-units // UNITS_IN_BLOCK))
    return min(units, max(by_size, workers * BLOCKS_EACH))


def count_of_attempts() -> Any:
    """The actor that keeps the count of attempts, beside the driver: no other node's loss takes it along."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    kept = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)(Attempts)
    return kept.remote()


def _pipeline(sent: Any, left: dict[int, Any], each: Workers, attempted: Attempted) -> Iterator[tuple[int, Any]]:
    import ray.data

    count = min(len(left), each.workers or len(left), max(1, room_for(each)))
    with _settings():
        rows = ray.data.from_items(as_rows(left), override_num_blocks=blocks_of(len(left), count))
        made = rows.map_batches(
            Worker,
            fn_constructor_args=(sent, attempted.kept, attempted.stage, attempted.most),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=AT_ONCE),
            num_cpus=each.cpus,
            num_gpus=each.gpus,
        )
        for batch in made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in batch.to_pylist():
                yield row["position"], pickle.loads(row["made"])  # noqa: S301 - from our own workers


@contextmanager
def _settings() -> Iterator[None]:
    """No progress bars and no messages of Ray Data's own while this lasts; results come one by one."""
    import ray.data

    settings, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before = settings.enable_progress_bars, settings.target_max_block_size
    level = log.level
    settings.enable_progress_bars = False
    settings.target_max_block_size = 1  # byte: no result waits for the rest of its block
    log.setLevel(logging.CRITICAL)  # its tracebacks may quote the data; what failed arrives as an error
    try:
        yield
    finally:
        settings.enable_progress_bars, settings.target_max_block_size = before
        log.setLevel(level)


def _result(outcome: tuple[bool, Any]) -> Any:
    well, made = outcome
    if not well:
        raise unpacked(made)
    return made


def _lost(error: BaseException) -> RunError:
    return RunError(
        f"the Ray cluster cannot finish a single unit: {type(error).__name__}",
        "look at `ray status` and the nodes' logs; what was finished is kept",
    )

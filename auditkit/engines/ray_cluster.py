"""A connection to a Ray cluster, or one that is started for the run: quiet, owner-only, telling nobody."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any, TypeVar, get_args

from auditkit.engines.base import Cluster, Shared, Stage, Work
from auditkit.engines.ray_engine import RayEngine, Workers
from auditkit.engines.ray_nodes import alive, everywhere, room_for
from auditkit.engines.ray_pipeline import Attempted, count_of_attempts, mapped
from auditkit.errors import AuditkitError

T = TypeVar("T")


class RayCluster(Cluster):
    """The cluster that this process is connected to."""

    def __init__(self, engine: RayEngine) -> None:
        self._engine = engine
        self._attempts: Any = None
        self._stages = count(1)

    def takes(self, stage: Stage) -> bool:
        return isinstance(self._engine.place(stage), Workers)

    def texts_a_unit(self) -> int:
        return self._engine.texts_in_unit

    def rows_a_shard(self) -> int:
        return self._engine.rows_in_shard

    def map(self, stage: Stage, work: Work, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        each = self._engine.place(stage)
        assert isinstance(each, Workers), f"{stage} is the driver's"
        self._attempts = self._attempts or count_of_attempts()
        return mapped(work, units, each, Attempted(self._attempts, next(self._stages), self._engine.attempts))

    def close(self) -> None:
        """End what this process started on the cluster."""
        import ray

        if self._attempts:
            ray.kill(self._attempts)

    def share(self, value: Any) -> Shared:
        import ray

        return _Put(ray.put(value))

    def everywhere(self, ask: Callable[[], T]) -> dict[str, T]:
        return everywhere(ask)

    def gpus(self) -> float:
        return float(sum(node["Resources"].get("GPU", 0.0) for node in alive()))

    def provenance(self) -> dict[str, Any]:
        import ray

        stages = {stage: "workers" if self.takes(stage) else "driver" for stage in get_args(Stage)}
        return {"kind": "ray", "ray": ray.__version__, "nodes": len(alive()), **stages, "probes": "driver"}

    def refuse_what_never_fits(self) -> None:
        """Ray would wait for ever for a node that is large enough.

        Raises:
            AuditkitError: no node has room for a worker of some stage.
        """
        for stage in get_args(Stage):
            each = self._engine.place(stage)
            if isinstance(each, Workers) and not room_for(each):
                raise AuditkitError(
                    f"no node of the Ray cluster has room for a worker of engine.{stage}: "
                    f"{each.cpus:g} CPUs, {each.gpus:g} GPUs",
                    "ask for less, add a node, or leave the stage to this process with: driver",
                )


class _Put:
    """A value in Ray's object store."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def get(self) -> Any:
        import ray

        return ray.get(self._reference)


@contextmanager
def connected(engine: RayEngine, hidden: Sequence[str]) -> Iterator[RayCluster]:
    """See ``Engine.running``. A connection that this process has already is used, and left as it is.

    Raises:
        AuditkitError: there is no such cluster, or it has no room for a worker of some stage.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ part writes warnings past every logger
    engine.ready()
    import ray

    with ExitStack() as stack:
        if not ray.is_initialized():
            stack.enter_context(_started_here(hidden) if engine.address == "local" else _joined(engine.address))
        cluster = RayCluster(engine)
        stack.callback(cluster.close)
        cluster.refuse_what_never_fits()
        yield cluster


@contextmanager
def _joined(address: str) -> Iterator[None]:
    import ray

    try:
        if address != "auto":
            _knock(address)
        ray.init(address=address, **_quietly())
    except Exception as error:  # Ray has a dozen kinds for "nobody answers"
        raise AuditkitError(
            f"no Ray cluster answers at {address}: {type(error).__name__}",
            "start one with `ray start --head`, give its HOST:PORT, or set engine.address: local",
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Ray itself would try for a minute where nobody is.

    Raises:
        OSError: nobody answers there.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextmanager
def _started_here(hidden: Sequence[str]) -> Iterator[None]:
    """One of this machine's own devices and cores; its logs and whatever it spills are the owner's, and go with it."""
    import ray

    # Ray opens its own folder to everybody: it stands in one of mode 0700. Both have short names, as sockets ask.
    folder = tempfile.mkdtemp(prefix="auditkit-ray-")
    try:
        with _without(hidden):  # its processes would inherit them
            ray.init(address="local", include_dashboard=False, _temp_dir=f"{folder}/r", **_quietly())
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise AuditkitError(
            f"Ray does not start on this machine: {type(error).__name__}", "set engine: {kind: local}"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _quietly() -> dict[str, Any]:
    """What workers print stays on their nodes; Ray itself says only what went wrong."""
    return {"log_to_driver": False, "logging_level": logging.ERROR}


@contextmanager
def _without(hidden: Sequence[str]) -> Iterator[None]:
    """The environment without these variables, while this lasts."""
    kept = {name: os.environ.pop(name) for name in hidden if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)

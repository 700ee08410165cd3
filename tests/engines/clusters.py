"""A real Ray cluster of several nodes on this machine, and what can befall it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

NODES = 3
STORE = 80 * 2**20


def patiently(start: Callable[[], Any]) -> Any:
    """Ray gives each node 15 s for its agents to start, which a busy machine may not keep: tried again."""
    for _ in range(3):
        try:
            return start()
        except Exception as error:  # Ray raises no kind of its own
            failed = error
    raise failed


class Nodes:
    """Three nodes with room for one worker each."""

    def __init__(self) -> None:
        # Ray's workers are nice to others by default: beside other tests they would hardly run at all.
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
        self.cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        self.others: list[Any] = []
        self.mend()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return str(self.cluster.address)

    @property
    def logs(self) -> Path:
        """Where every node of the cluster logs."""
        return Path(self.cluster.head_node.get_session_dir_path())

    def lose_one(self) -> None:
        """A node is gone with all its processes, from one moment to the next."""
        self.cluster.remove_node(self.others.pop(), allow_graceful=False)

    def mend(self) -> None:
        """As many nodes as at first."""
        while len(self.others) < NODES - 1:
            added = patiently(lambda: self.cluster.add_node(num_cpus=1, object_store_memory=STORE))
            self.others.append(added)

    def workers(self) -> list[psutil.Process]:
        """Processes in which an actor of a pipeline is at work."""
        mine = psutil.Process().children(recursive=True)
        return [one for one in mine if "MapWorker" in _title(one)]

    def close(self) -> None:
        """End every process."""
        self.cluster.shutdown()


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def kill_one(nodes: Nodes) -> None:
    """SIGKILL to one worker."""
    nodes.workers()[0].kill()


def freeze_one(nodes: Nodes, seconds: float) -> None:
    """One worker does nothing for a while, as on a node that is much slower than the others."""
    frozen = nodes.workers()[0]
    os.kill(frozen.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(frozen.pid, signal.SIGCONT)


@contextmanager
def disturbed(ready: Callable[[], bool], disturb: Callable[[], None]) -> Iterator[list[Any]]:
    """Do something to the cluster as soon as it is ``ready``, while the block runs; the list says what was done."""
    done: list[Any] = []

    def wait() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if ready():
                disturb()
                done.append(True)
                return
            time.sleep(0.02)

    thread = Thread(target=wait)
    thread.start()
    try:
        yield done
    finally:
        thread.join()

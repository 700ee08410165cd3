"""The nodes of a Ray cluster: how many workers they have room for, and what they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from auditkit.engines.ray_engine import Workers
from auditkit.errors import AuditkitError

T = TypeVar("T")


def alive() -> list[dict[str, Any]]:
    """What Ray says of each node that is up."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def room_for(each: Workers) -> int:
    """Workers of this size that all nodes together have room for."""
    return sum(_fitting(node, each) for node in alive())


def _fitting(node: dict[str, Any], each: Workers) -> int:
    resources = node["Resources"]
    by_cpus = int(resources.get("CPU", 0) // each.cpus)
    return min(by_cpus, int(resources.get("GPU", 0) // each.gpus)) if each.gpus else by_cpus


def name_of(node: dict[str, Any]) -> str:
    """Its host, and enough of Ray's own id to tell several on one machine apart."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:8]})"


def everywhere(ask: Callable[[], T]) -> dict[str, T]:
    """See ``Cluster.everywhere``."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in alive():
        if node["Resources"].get("CPU", 0) > 0:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[name_of(node)] = ray.remote(num_cpus=0, scheduling_strategy=there)(_asked).remote(ask)
    return {name: _answer(name, answer) for name, answer in asked.items()}


def _asked(ask: Callable[[], T]) -> T:
    """Ray takes functions alone, and no partial ones."""
    return ask()


def _answer(name: str, answer: Any) -> Any:
    import ray

    try:
        return ray.get(answer)
    except (ray.exceptions.RayError, RuntimeError) as error:
        raise AuditkitError(
            f"the node {name} cannot run auditkit: {type(error).__name__}",
            "install the same version of auditkit, with its extras, on every node of the cluster",
        ) from None

"""What an engine's workers are given, held against what they need and what there is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from auditkit.auditing.elsewhere import kept_here
from auditkit.auditing.policy_lines import problem_at
from auditkit.auditing.progress import Progress
from auditkit.engines.base import Cluster, Stage
from auditkit.engines.ray_engine import Place, RayEngine, Workers
from auditkit.errors import AuditkitError, PolicyError, Problem
from auditkit.policy.schema import Policy

DEVICES = Path("/dev")


def check_engine(policy: Policy) -> None:
    """Refuse workers that could never hold the model.

    Raises:
        PolicyError: the model is spread over more GPUs than a worker is given.
    """
    if problems := list(engine_problems(policy)):
        raise PolicyError(problems)


def engine_problems(policy: Policy) -> Iterator[Problem]:
    """A worker that is given too few GPUs, at its line of the policy. On processors alone a model may be spread too."""
    each, devices = _workers(policy).get("generate"), policy.models.candidate.devices
    if each and 0 < each.gpus < devices and devices > 1:
        error = AuditkitError(
            f"models.candidate takes {devices} GPUs, and a worker of engine.generate is given {each.gpus:g}",
            f"set engine.generate.gpus: {devices}, or lower tensor_parallel_size or data_parallel_size",
        )
        yield problem_at(policy, "engine.generate.gpus", error)


def engine_warnings(policy: Policy, gpus: float) -> Iterator[str]:
    """GPUs that would stay idle.

    Args:
        policy: what workers are given.
        gpus: how many there are.
    """
    found, devices = _workers(policy), policy.models.candidate.devices
    each = found.get("generate")
    if each and math.ceil(each.gpus) > devices:
        yield (
            f"a worker of engine.generate is given {each.gpus:g} GPUs, and models.candidate uses {devices} of them: "
            "give it fewer, or spread the model over more"
        )
    if gpus and found and not any(one.gpus for one in found.values()):
        named = ", ".join(f"engine.{stage}" for stage in found)
        yield f"there are {gpus:g} GPUs, and no worker is given one: set gpus under {named}"


def gpus_here() -> int:
    """NVIDIA's devices of this machine, as its driver shows them."""
    return sum(path.name.removeprefix("nvidia").isdecimal() for path in DEVICES.glob("nvidia*"))


def gpus_seen(policy: Policy) -> int:
    """Those that can be told of before there is a cluster: this machine's, where it is one of the nodes."""
    engine = policy.engine
    return gpus_here() if isinstance(engine, RayEngine) and engine.address in ("auto", "local") else 0


def tell_of_idle(policy: Policy, workers: Cluster | None, progress: Progress) -> None:
    """Warn of what of a cluster would stay idle."""
    for warning in engine_warnings(policy, workers.gpus() if workers else 0):
        progress.note(f"warning: {warning}")


def engine_facts(policy: Policy) -> Iterator[str]:
    """What each worker is given, in a sentence a stage."""
    engine, found = policy.engine, _workers(policy)
    if isinstance(engine, RayEngine):
        for stage in get_args(Stage):
            each = found.get(stage)
            yield f"{stage}: " + (f"workers of {each.cpus:g} CPUs, {each.gpus:g} GPUs" if each else "this process")


def _workers(policy: Policy) -> dict[Stage, Workers]:
    """What a worker of each stage is given; of those that workers do."""
    engine = policy.engine
    if not isinstance(engine, RayEngine):
        return {}
    here = kept_here(policy)
    places: dict[Stage, Place] = {stage: engine.place(stage) for stage in get_args(Stage) if stage not in here}
    return {stage: place for stage, place in places.items() if isinstance(place, Workers)}

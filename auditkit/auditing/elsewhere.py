"""A run's engine: opened before the run folder is made, and refused where a node lacks what its workers need."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from auditkit.auditing.provenance import code_sha256
from auditkit.engines.base import Cluster, Stage
from auditkit.errors import AuditkitError
from auditkit.policy.schema import Policy
from auditkit.registry import Plugin, plugin_class

REMEDY = "put it in the same place on every node (a shared file system), name it hub://org/name@<commit>, or leave the "


@contextmanager
def workers_of(policy: Policy) -> Iterator[Cluster | None]:
    """The cluster of a policy's engine; None where this process does everything.

    Raises:
        AuditkitError: there is no such cluster, or one of its nodes has another auditkit, or lacks a file.
    """
    with policy.engine.running(policy.secret_variables) as cluster:
        if cluster:
            _check_nodes(cluster, _paths(policy, cluster))
        yield cluster


def kept_here(policy: Policy) -> frozenset[Stage]:
    """Stages that this process does whatever the engine: what somebody else's machine serves has one asker."""
    served: dict[Stage, bool] = {
        "generate": policy.models.candidate.one_process,
        "embed": policy.scoring.embedder.external,
    }
    return frozenset(stage for stage, here in served.items() if here)


def engine_told(policy: Policy, workers: Cluster) -> dict[str, Any]:
    """The engine as the event log and the report name it: who does what in this run."""
    return {**workers.provenance(), **dict.fromkeys(kept_here(policy), "driver")}


def with_engine(policy: Policy, told: str) -> Policy:
    """The policy with another engine: KIND, or KIND:ADDRESS. What the policy says of an engine of that kind stays.

    Raises:
        AuditkitError: there is no such engine, or no such address.
    """
    if not told:
        return policy
    kind, _, address = told.partition(":")
    known = policy.engine.model_dump(mode="json") if policy.engine.kind == kind else {"kind": kind}
    try:
        made = plugin_class("engines", kind).model_validate({**known, **({"address": address} if address else {})})
    except ValidationError:
        raise AuditkitError(f"{told!r} is no engine", "local, ray, ray:auto, ray:local or ray:HOST:PORT") from None
    changed = policy.model_copy(update={"engine": made})
    changed._source = policy.source
    return changed


def _paths(policy: Policy, cluster: Cluster) -> dict[str, str]:
    """Files and folders that workers open, and the stage that would have to be the driver's without them."""
    sections: dict[Stage, Plugin] = {"generate": policy.models.candidate, "embed": policy.scoring.embedder}
    asked = {stage: section for stage, section in sections.items() if stage not in kept_here(policy)}
    return {file: stage for stage, section in asked.items() if cluster.takes(stage) for file in files_of(section)}


def files_of(section: Plugin) -> tuple[str, ...]:
    """The files and folders of this machine that a plug-in's section names."""
    return tuple(_absolute(section.model_dump()))


def missing_here(paths: Iterable[str]) -> list[str]:
    """Those that cannot be read on this node."""
    return [path for path in paths if not os.access(path, os.R_OK)]


def _absolute(value: Any) -> Iterator[str]:
    """Every text in a section that names something on this machine."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _absolute(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _absolute(item)
    elif isinstance(value, str) and value.startswith("/") and len(value) < 4096 and Path(value).exists():
        yield value


def _check_nodes(cluster: Cluster, paths: dict[str, str]) -> None:
    for node, (code, missing) in cluster.everywhere(partial(_seen, list(paths))).items():
        if code != code_sha256():
            raise AuditkitError(
                f"the node {node} has another auditkit than this machine", "install the same version on every node"
            )
        if missing:
            raise AuditkitError(
                f"the node {node} cannot read {missing[0]}",
                f"{REMEDY}stage to this process with engine.{paths[missing[0]]}: driver",
            )


def _seen(paths: list[str]) -> tuple[str, list[str]]:
    """On a node: which auditkit is there, and what cannot be read."""
    return code_sha256(), missing_here(paths)

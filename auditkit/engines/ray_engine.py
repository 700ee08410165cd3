"""The ``ray`` engine's section of a policy: which cluster, and what a worker of each stage is given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import Field

from auditkit.engines.base import Cluster, Engine, Stage
from auditkit.errors import MissingExtraError
from auditkit.registry import Plugin


class Workers(Plugin):
    """What each worker of a stage is given, and how many there are."""

    cpus: Annotated[float, Field(gt=0, le=1024, description="Processor cores a worker; its threads are as many.")] = 1
    gpus: Annotated[float, Field(ge=0, le=64, description="GPUs a worker; a share of one is allowed.")] = 0
    workers: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="At most; by default as many as the cluster has room for."
    )


Place = Workers | Literal["driver"]


class RayEngine(Engine):
    """A Ray cluster: one that runs already, or one that is started on this machine for the run.

    Generation, embedding and search are Ray Data pipelines over actors that hold a model or a shard of an index. The
    run folder, the data and the probes stay with the driver: the process that was started as `auditkit run`.
    """

    kind: Literal["ray"]
    address: Annotated[
        str,
        Field(
            pattern=r"^(auto|local|[A-Za-z0-9._\-\[\]:]+:[0-9]{1,5})$",
            max_length=300,
            description="auto: the cluster that this machine is part of; local: one is started here; or HOST:PORT.",
        ),
    ] = "auto"
    generate: Place = Field(default=Workers(), description="Workers that hold the model, or driver.")
    embed: Place = Field(default=Workers(), description="Workers that hold the embedder, or driver.")
    score: Place = Field(default=Workers(), description="Workers that hold a shard of an index, or driver.")
    texts_in_unit: Annotated[
        int, Field(ge=1, le=65_536, description="Texts or vectors that are searched with at a time.")
    ] = 4096
    rows_in_shard: Annotated[int, Field(ge=1, le=10_000_000, description="Records in one shard of an index.")] = 262_144
    attempts: Annotated[
        int, Field(ge=1, le=100, description="Workers that may die over the same unit before the run ends.")
    ] = 3

    def place(self, stage: Stage) -> Place:
        """Who does the work of a stage."""
        return {"generate": self.generate, "embed": self.embed, "score": self.score}[stage]

    def ready(self) -> None:
        if find_spec("ray") is None:
            raise MissingExtraError("ray", "ray")

    def running(self, hidden: Sequence[str] = ()) -> AbstractContextManager[Cluster | None]:
        from auditkit.engines.ray_cluster import connected

        return connected(self, hidden)

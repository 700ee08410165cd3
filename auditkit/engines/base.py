"""Where the work runs: what a stage asks of an engine, and how a policy's section becomes one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeVar

from auditkit.registry import Plugin

Stage = Literal["generate", "embed", "score"]
T = TypeVar("T")


class Work(ABC):
    """What workers are sent once, and open where they are: a model is loaded there, an index made.

    It is pickled, and holds settings, paths and what was shared; results hang on the unit alone, never on the worker.
    """

    @abstractmethod
    def opened(self) -> Callable[[Any], Any]:
        """What turns units, one after the other, into results; asked once in each worker.

        Raises:
            AuditkitError: what is wrong in this place; it arrives at the driver as it is.
        """

    @abstractmethod
    def told(self, unit: Any) -> str:
        """A unit in words, for an error: never a word of the data."""


class Shared(Protocol):
    """A value that every worker can read."""

    def get(self) -> Any:
        """The value; arrays may be read-only."""


class Cluster(ABC):
    """Workers in other processes, on this machine or on others."""

    @abstractmethod
    def takes(self, stage: Stage) -> bool:
        """Whether this stage's work is done by workers."""

    @abstractmethod
    def texts_a_unit(self) -> int:
        """Texts, or vectors, that are worth one unit of a search."""

    @abstractmethod
    def rows_a_shard(self) -> int:
        """Records of one shard of an index."""

    @abstractmethod
    def map(self, stage: Stage, work: Work, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """(position of the unit, its result), each once, in whatever order they are finished.

        A unit whose worker died is done again by another. Few results wait here for whoever takes them.

        Raises:
            AuditkitError: as the worker raised it.
            RunError: a unit ended every worker that tried it, or the cluster is lost.
        """

    @abstractmethod
    def share(self, value: Any) -> Shared:
        """Make a value readable for workers until nothing refers to it any more."""

    @abstractmethod
    def everywhere(self, ask: Callable[[], T]) -> dict[str, T]:
        """What ``ask``, a function of this package, answers on each node that can have workers, by the node's name.

        Raises:
            AuditkitError: a node cannot run this package.
        """

    def gpus(self) -> float:
        """GPUs of all nodes together."""
        return 0

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """What the report says of it: versions and numbers, no names or addresses."""


class Engine(Plugin, ABC):
    """A policy's choice of where the work runs. It changes where, and how fast; never what comes out."""

    kind: str

    def ready(self) -> None:
        """Complain before anything runs of an extra that is not installed.

        Raises:
            MissingExtraError: it is not there.
        """

    @abstractmethod
    def running(self, hidden: Sequence[str] = ()) -> AbstractContextManager[Cluster | None]:
        """Workers for as long as this lasts; None where all is done in this process.

        Args:
            hidden: names of environment variables that workers are not to see, where this engine starts them.

        Raises:
            AuditkitError: there is no such cluster, or it has no room for a worker of some stage.
        """

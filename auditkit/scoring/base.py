"""What scoring is made of: embedders, indexes and the matches that they find."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.registry import Plugin

Vectors = npt.NDArray[np.float32]  # (n, d), rows of unit norm
Index = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


class Embedder(Plugin, ABC):
    """Texts to unit vectors. The same text gives the same vector in every batch and run."""

    kind: str

    @property
    @abstractmethod
    def digest(self) -> str:
        """What identifies the vectors: kind, weights, dimension. Vectors of equal digest may be compared."""

    @property
    def external(self) -> bool:
        """Whether texts leave the machine."""
        return False

    @property
    def published_threshold(self) -> float | None:
        """The threshold that was published for this very embedder, if any; every other is calibrated."""
        return None

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), d) float32 rows of unit norm; an empty text gives a zero row."""

    def ready(self) -> None:
        """Complain before anything runs of what ``embed`` would lack: a key, an extra, a folder. Sends nothing.

        Raises:
            AuditkitError: it is not there.
        """

    def estimated_cost(self, characters: int) -> float:  # noqa: ARG002 - for the embedders that cost
        """US dollars for this many characters; 0 for what runs here."""
        return 0.0


@dataclass(frozen=True)
class IndexUse:
    """Which index was used on what, and how much it missed: recall@1 against exact search, measured on a sample."""

    kind: str
    recall_at_1: float
    queries: int
    reason: str = ""


class VectorIndexConfig(Plugin, ABC):
    """A policy's choice of index."""

    kind: str

    def ready(self) -> None:
        """Complain before anything runs of an extra that is not installed.

        Raises:
            MissingExtraError: it is not there.
        """

    @abstractmethod
    def best(self, queries: Vectors, vectors: Vectors) -> tuple[Index, Scores, IndexUse]:
        """For each query its nearest row: index (n,) and cosine (n,), ties to the lowest index.

        No rows: index -1, score -inf.
        """

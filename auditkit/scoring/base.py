"""What scoring is made of: embedders, indexes and the matches that they find."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auditkit.errors import RunError
from auditkit.registry import Plugin

Vectors = npt.NDArray[np.float32]  # (n, d), rows of unit norm
Index = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

RECALL = 0.999  # of an index: below it, what it does not find proves nothing


class TextRefusedError(RunError):
    """An embedder refuses some texts: ``positions`` among those given; ``rows`` holds the others' vectors."""

    def __init__(self, positions: Sequence[int], rows: Vectors, reason: str) -> None:
        what = f"{len(positions)} of {len(rows)} texts are refused by the embedder: {reason}"
        super().__init__(what, "use an embedder that takes them, or run again with --resume if that will change")
        self.positions = list(positions)
        self.rows = rows
        self.reason = reason


class Embedder(Plugin, ABC):
    """Texts to unit vectors.

    The same text gives the same vector in every batch and run: to the bit for the default embedder, within 1e-6 for
    models in float32, whose matrix products round by the shape of the batch.
    """

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
    def texts_a_call(self) -> int:
        """Texts that are worth one call of ``embed``, and that a killed run may have to embed again.

        Many where they are sorted by length within a call; one request where each is paid for.
        """
        return 4096

    @property
    def longest(self) -> int | None:
        """Characters from which on a text is probably not read to its end; None where all of it is read."""
        return None

    @property
    def published_threshold(self) -> float | None:
        """The threshold that was published for this very embedder, if any; every other is calibrated."""
        return None

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), d) float32 rows of unit norm; an empty text gives a zero row.

        Raises:
            TextRefusedError: some of these texts cannot be embedded; it holds the vectors of the others.
            RunError: the embedder is out of reach, or gives what are no vectors.
        """

    def ready(self) -> None:
        """Complain before anything runs of what ``embed`` would lack: a key, an extra, a folder. Sends nothing.

        Raises:
            AuditkitError: it is not there.
        """

    def estimated_cost(self, characters: int) -> float:  # noqa: ARG002 - for the embedders that cost
        """US dollars for this many characters; 0 for what runs here."""
        return 0.0


@dataclass(frozen=True)
class IndexChoice:
    """A kind of index, and the reason in words."""

    kind: str
    reason: str = ""


@dataclass(frozen=True)
class IndexStore:
    """Where indexes lie between audits, and the secret that vouches for their files."""

    folder: Path
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class IndexUse:
    """Which index was used on what, and how much it missed: recall@1 against exact search, measured on a sample.

    ``pair_recall``: of the ``pairs`` within the threshold that exact search finds for the sample, the share found;
    None where there is no threshold or no such pair. ``cut``: queries with more records within the threshold than an
    approximate index is asked for.
    """

    kind: str
    recall_at_1: float
    queries: int
    reason: str = ""
    pair_recall: float | None = None
    pairs: int = 0
    cut: int = 0

    @property
    def found(self) -> float:
        """The smaller of the two recalls that were measured."""
        return min(self.recall_at_1, 1.0 if self.pair_recall is None else self.pair_recall)

    @property
    def misses(self) -> bool:
        """Whether it finds too little for a pass to rest on."""
        return self.found < RECALL or self.cut > 0

    def worse(self, other: IndexUse) -> IndexUse:
        """Of two, the one that misses more; this one where they miss alike."""
        return min(self, other, key=lambda use: (not use.misses, use.found, -use.cut))


Hits = Callable[[Index, Index], None]  # takes (k,) queries, counted within their block, and (k,) vectors


class Search(ABC):
    """Queries, block by block, against one set of vectors; one pass answers both directions."""

    @abstractmethod
    def add(self, queries: Vectors, hits: Hits | None = None) -> tuple[Index, Scores]:
        """For each of these queries its nearest vector: index (n,) and cosine (n,), ties to the lowest index.

        Args:
            queries: (n, d) rows of unit norm; their positions go on from the last block's.
            hits: is given every pair whose score reaches the threshold, a part at a time and in no set order.

        No vectors: index -1, score -inf.
        """

    @property
    @abstractmethod
    def nearest(self) -> tuple[Index, Scores]:
        """For each vector its nearest query so far: index (m,), ties to the earliest, and cosine (m,).

        Index -1 and score -inf where none is known.
        """

    @property
    @abstractmethod
    def use(self) -> IndexUse:
        """What was searched with, and how much it misses."""


class VectorIndex(ABC):
    """Opened once for a set of vectors, then asked many times."""

    @abstractmethod
    def search(self, queries: Vectors, threshold: float | None = None) -> Search:
        """Begin to search for these queries, which are then added block by block.

        Args:
            queries: (n, d) rows of unit norm, in memory or mapped; an approximate index is tuned on a sample of them.
            threshold: from which a pair is a hit; None where nobody asks for hits.
        """


class VectorIndexConfig(Plugin, ABC):
    """A policy's choice of index."""

    kind: str

    def ready(self) -> None:
        """Complain before anything runs of an extra that is not installed.

        Raises:
            MissingExtraError: it is not there.
        """

    def choose(self, vectors: Vectors, queries: int) -> IndexChoice:  # noqa: ARG002 - for those that have a choice
        """Which kind to search so many queries with, and why; asked once, so that a resumed run goes on with it."""
        return IndexChoice(self.kind)

    @abstractmethod
    def open(self, vectors: Vectors, choice: IndexChoice, store: IndexStore | None = None) -> VectorIndex:
        """The index of these (m, d) rows of unit norm, built or taken from where an earlier audit stored it.

        Raises:
            AuditkitError: a value that is not a finite number.
        """

    def best(self, queries: Vectors, vectors: Vectors) -> tuple[Index, Scores, IndexUse]:
        """For each query its nearest row: index (n,) and cosine (n,), ties to the lowest index.

        No rows: index -1, score -inf.
        """
        search = self.open(vectors, self.choose(vectors, len(queries))).search(queries)
        index, score = search.add(queries)
        return index, score, search.use


def near_duplicate_clusters(texts: Sequence[str], threshold: float = 0.9) -> Index:
    """(n,) cluster of each text, as ``strings/near_duplicates.py`` finds them; compiled when first asked for.

    Raises:
        AuditkitError: a threshold outside [0, 1].
    """
    from auditkit.scoring.strings.near_duplicates import near_duplicate_clusters as clusters

    return clusters(texts, threshold)

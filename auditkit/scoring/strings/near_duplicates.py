"""Near-duplicate records as clusters: a record with many near-versions counts once in coverage."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np

from auditkit.scoring.base import Index
from auditkit.scoring.strings.codes import SortedTexts
from auditkit.scoring.strings.pairs import Bar, Integers
from auditkit.scoring.strings.search import Comparison, Wanted, candidate_pairs, in_threads


def near_duplicate_clusters(texts: Sequence[str], threshold: float = 0.9) -> Integers:
    """(n,) cluster of each text: texts that a chain of Levenshtein similarities >= ``threshold`` connects share one.

    Clusters are numbered from 0 in the order of their first texts.

    Raises:
        AuditkitError: a threshold outside [0, 1].
    """
    distinct = SortedTexts.of(list(dict.fromkeys(texts)))
    bar, forest = Bar("levenshtein", threshold), _Forest(len(distinct.texts))

    def share(rows: slice) -> None:
        places = np.arange(len(distinct.texts), dtype=np.int64)
        wanted = Wanted.connections(places[rows].copy(), forest.root)
        comparison = Comparison(distinct.part(rows), distinct, places, bar, wanted)
        for pairs in candidate_pairs(comparison):
            forest.connect(comparison, *pairs)

    in_threads(len(distinct.texts), len(distinct.texts), share)
    root_of = {text: forest.find(place) for place, text in enumerate(distinct.texts)}
    labels: dict[int, int] = {}
    return np.array([labels.setdefault(root_of[text], len(labels)) for text in texts], dtype=np.int64)


class _Forest:
    """Which texts are connected: a union-find forest that several threads add to. Trees only ever grow together."""

    def __init__(self, texts: int) -> None:
        self.root = np.arange(texts, dtype=np.int64)
        self._lock = Lock()

    def find(self, text: int) -> int:
        """The root of a text's tree, with shorter ways to it from now on."""
        while self.root[text] != text:
            self.root[text] = self.root[self.root[text]]
            text = int(self.root[text])
        return text

    def connect(self, comparison: Comparison, rows: Index, columns: Index) -> None:
        """Measure pairs that are still apart, and join those that are similar."""
        places = comparison.wanted.place
        apart = [self.find(a) != self.find(b) for a, b in zip(places[rows].tolist(), columns.tolist(), strict=True)]
        rows, columns, _, _ = comparison.measured(rows[apart], columns[apart])
        with self._lock:
            for a, b in zip(places[rows].tolist(), columns.tolist(), strict=True):
                one, other = self.find(a), self.find(b)
                self.root[max(one, other)] = min(one, other)

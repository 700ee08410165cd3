"""Near-duplicate records as clusters: a record with many near-versions counts once in coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditkit.scoring.base import Index
from auditkit.scoring.string_pairs import Bar, Integers, SortedTexts, candidate_pairs, measured_pairs

# Small, so that what one chunk joins is left out of the next: records made from one template join quickly.
CHUNK = 1 << 13


def near_duplicate_clusters(texts: Sequence[str], threshold: float = 0.9) -> Integers:
    """(n,) cluster of each text: texts that a chain of Levenshtein similarities >= ``threshold`` connects share one.

    Clusters are numbered from 0 in the order of their first texts.

    Raises:
        AuditkitError: a threshold outside [0, 1].
    """
    distinct = SortedTexts.of(list(dict.fromkeys(texts)))
    roots = _connected(distinct, Bar("levenshtein", threshold))
    root_of = dict(zip(distinct.texts, roots.tolist(), strict=True))
    labels: dict[int, int] = {}
    return np.array([labels.setdefault(root_of[text], len(labels)) for text in texts], dtype=np.int64)


def _connected(texts: SortedTexts, bar: Bar) -> Integers:
    """(n,) one text of each text's component. Pairs that are already connected are never measured."""
    root = np.arange(len(texts.texts), dtype=np.int64)
    for rows, columns in candidate_pairs(texts, texts, bar):
        for start in range(0, len(rows), CHUNK):
            some_rows, some_columns = rows[start : start + CHUNK], columns[start : start + CHUNK]
            apart = root[some_rows] != root[some_columns]
            if apart.any():
                joined = measured_pairs(texts, texts, some_rows[apart], some_columns[apart], bar)
                root = _join(root, joined[0], joined[1])
    return root


def _join(root: Integers, rows: Index, columns: Index) -> Integers:
    """Connect the pairs, and point every text at the root of its component again."""
    if not len(rows):
        return root
    for a, b in zip(rows.tolist(), columns.tolist(), strict=True):
        one, other = _find(root, a), _find(root, b)
        root[max(one, other)] = min(one, other)
    while not np.array_equal(root[root], root):
        root = root[root]
    return root


def _find(root: Integers, text: int) -> int:
    while root[text] != text:
        text = int(root[text])
    return text

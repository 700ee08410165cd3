# ruff: noqa: PLR0917 - arrays are passed one by one
"""Counting hits by cluster, as machine code; imported only inside functions."""

from __future__ import annotations

import numpy as np

from auditkit.machine_code import compiled


@compiled()
def mark(rows, columns, cluster, subsets, hit, record_hit, in_subsets):  # type: ignore[no-untyped-def]
    """Set what the pairs (generation of the block, record) say: bits of ``hit`` (clusters, words) and the rest.

    ``subsets`` (records,) and ``in_subsets`` (generations,) hold a bit for each random subset of the records.
    """
    for k in range(len(rows)):
        row, column = rows[k], columns[k]
        hit[cluster[column], row >> 6] |= np.uint64(1) << np.uint64(row & 63)
        record_hit[column] = True
        in_subsets[row] |= subsets[column]


@compiled()
def tally(hit, first_ordinal, incidence, first_hit):  # type: ignore[no-untyped-def]
    """Add each cluster's bits to its count, note its first generation if it had none, and clear the bits."""
    for c in range(hit.shape[0]):
        for w in range(hit.shape[1]):
            bits = hit[c, w]
            if bits == 0:
                continue
            hit[c, w] = 0
            if incidence[c] == 0:
                lowest = bits & (~bits + np.uint64(1))
                first_hit[c] = first_ordinal + 64 * w + ones(lowest - np.uint64(1))
            incidence[c] += ones(bits)


@compiled()
def ones(bits):  # type: ignore[no-untyped-def]
    """How many bits are set."""
    count = 0
    while bits:
        bits &= bits - np.uint64(1)
        count += 1
    return count

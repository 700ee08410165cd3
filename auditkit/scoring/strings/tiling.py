"""The loops behind ``spans.py``, compiled by numba; import this inside functions only.

Both texts stand in one sequence with a separator between them; its suffix array brings equal stretches together.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.machine_code import compiled

Codes = npt.NDArray[np.int64]
NEVER = -(1 << 40)  # under every value in a tree


def suffix_array(codes: Codes) -> tuple[Codes, Codes]:
    """(n,) the suffixes of a sequence in order, and (n,) the place of each in that order.

    Prefix doubling [Manber and Myers 1993]: log2 n sorts at most, however often the sequence repeats itself.
    """
    count = len(codes)
    rank = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    order = np.argsort(rank, kind="stable")
    reach = 1
    while len(rank) and rank[order[-1]] < count - 1:
        follows = np.zeros(count, np.int64)
        follows[: count - reach] = rank[reach:] + 1
        keys = rank * (count + 1) + follows
        order = np.argsort(keys, kind="stable")
        rank[order] = np.cumsum(np.diff(keys[order], prepend=keys[order[:1]]) > 0)
        reach *= 2
    return order, rank


@compiled()
def shared_lengths(codes: Codes, order: Codes, rank: Codes) -> Codes:
    """(n,) what each suffix has in common with the one before it in order [Kasai 2001]; 0 for the first."""
    count = len(codes)
    shared = np.zeros(count, np.int64)
    length = 0
    for start in range(count):
        if rank[start] == 0:
            length = 0
            continue
        other = order[rank[start] - 1]
        while start + length < count and other + length < count and codes[start + length] == codes[other + length]:
            length += 1
        shared[rank[start]] = length
        length = max(0, length - 1)
    return shared


@compiled()
def longest(order: Codes, shared: Codes, split: int) -> int:
    """The longest stretch on both sides of ``split``: neighbours in order from different sides have it in common."""
    best = 0
    for place in range(1, len(order)):
        if (order[place] < split) != (order[place - 1] < split):
            best = max(best, shared[place])
    return best


@compiled()
def tiles(order: Codes, rank: Codes, shared: Codes, split: int, minimum: int) -> Any:
    """Greedy string tiling [Wise 1993]: (start on the left, start on the right, length), longest first.

    The left text is the sequence before the separator at ``split``, the right one what follows it. A heap holds for
    every place on the left an upper bound of what can begin there. What comes off it is looked up again, since tiles
    laid in the meantime may have taken it: in O(log^2 n), from a tree over the suffix array that knows how much of
    the right text is still free after each place. A place comes off the heap at most twice for every length that a
    tile has, and m characters on the left cannot hold tiles of more than sqrt(2 m) lengths: O(m sqrt(m) log^2 n) at
    worst, and no text that was not built for it comes near.
    """
    count = len(order)
    free = np.empty(count, np.int64)  # characters from here to the next tile, or to the end of its text
    for place in range(count):
        free[place] = (split if place < split else count) - place
    free[split] = 0
    lengths, room = _tree(shared), _tree(np.where(order > split, -free[order], 0))
    heap = [place - split for place in range(0)]  # an empty list of whole numbers
    for place in range(split):
        if min(free[place], count - split - 1) >= minimum:
            heap.append((count - free[place]) * count + place)
    heapq.heapify(heap)
    found = [(0, 0, 0) for _ in range(0)]
    while heap:
        code = heapq.heappop(heap)
        bound, left = count - code // count, code % count
        length, right = _best(order, rank, lengths, room, left, min(bound, free[left]), minimum)
        if length < minimum:
            continue
        if length < bound:
            heapq.heappush(heap, (count - length) * count + left)
            continue
        found.append((left, right - split - 1, length))
        _cover(free, left, length)
        for place in range(_cover(free, right, length), right + length):
            _put(room, rank[place], -free[place])
    return found


@compiled()
def _best(  # noqa: PLR0917 - numba takes no objects
    order: Codes, rank: Codes, lengths: Codes, room: Codes, left: int, most: int, minimum: int
) -> tuple[int, int]:
    """The longest stretch of ``minimum`` to ``most`` that begins here and lies free on the right, and where it lies."""
    best, at = 0, -1
    low, high = minimum, most
    while low <= high:
        length = (low + high) // 2 if best else low  # most places have nothing: that is asked first
        first = _last_under(lengths, rank[left], length)
        end = _first_under(lengths, rank[left] + 1, length)
        place = _first_under(room, first, 1 - length)
        if place < end:
            best, at, low = length, order[place], length + 1
        else:
            high = length - 1
    return best, at


@compiled()
def _cover(free: Codes, start: int, length: int) -> int:
    """Take a stretch; the first place whose freedom changed.

    Places more than ``length`` before it keep a freedom that is too high, which no later tile, being no longer, can
    notice: so that all the tiles together cost no more than the texts are long.
    """
    free[start : start + length] = 0
    place = start - 1
    while place >= max(0, start - length) and free[place] > 0:
        free[place] = min(free[place], start - place)
        place -= 1
    return place + 1


@compiled()
def _tree(values: Codes) -> Codes:
    """A tree of minima: leaf i at size + i. The leaf after the last value is under everything, and ends a search."""
    size = 1
    while size < len(values) + 1:
        size *= 2
    tree = np.full(2 * size, NEVER, np.int64)
    tree[size : size + len(values)] = values
    for node in range(size - 1, 0, -1):
        tree[node] = min(tree[2 * node], tree[2 * node + 1])
    return tree


@compiled()
def _put(tree: Codes, place: int, value: int) -> None:
    node = len(tree) // 2 + place
    tree[node] = value
    while node > 1:
        node //= 2
        tree[node] = min(tree[2 * node], tree[2 * node + 1])


@compiled()
def _first_under(tree: Codes, place: int, limit: int) -> int:
    """The first place from this one on with a value under the limit; there always is one after the last."""
    size = len(tree) // 2
    node = size + place
    while tree[node] >= limit:
        while node & 1:  # a right child: what follows it hangs on an ancestor's right
            node >>= 1
        node += 1
    while node < size:
        node *= 2
        if tree[node] >= limit:
            node += 1
    return node - size


@compiled()
def _last_under(tree: Codes, place: int, limit: int) -> int:
    """The last place up to this one with a value under the limit; the first place always has one."""
    size = len(tree) // 2
    node = size + place
    while tree[node] >= limit:
        while not node & 1:  # a left child: what comes before it hangs on an ancestor's left
            node >>= 1
        node -= 1
    while node < size:
        node = 2 * node + 1
        if tree[node] >= limit:
            node -= 1
    return node - size

# ruff: noqa: PLR0917 - kernels take what they need one by one
"""Which pairs of texts their lengths and counts of characters, pairs and triples rule out, as machine code.

One substitution changes the counts of q characters in a row by at most 2 q in all (q are gone, q are new), an insertion
or a deletion by at most 2 q - 1 [Ukkonen 1992]. So k insertions and deletions leave a sum of differences
D <= (2 q - 1) k; and k edits, of which at least |m - n| are insertions or deletions, leave D <= 2 q k - |m - n|.
Imported only inside functions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from auditkit.scoring.strings.codes import CLASSES
from auditkit.scoring.strings.compiler import inlined, kernel
from auditkit.scoring.strings.kernels import KINDS, could_reach, make_ready
from auditkit.scoring.strings.lanes import CHUNK, LANES, gap

LONG = 1 << 14  # characters; longer records are not searched in words: their tables would be too large


class Rows(NamedTuple):
    """One side of a comparison: arrays by text, in order of length."""

    classes: Any  # (characters,) uint8
    starts: Any  # (n + 1,)
    position: Any  # (n,) that decides ties: the lowest wins
    single: Any  # counts of the texts from ``offset`` on
    pair: Any
    triple: Any
    total: Any  # (n, KINDS) exact counts of kinds of class
    offset: int


class Tile(NamedTuple):
    """A block of the comparison: rows of the left side, records of the right one that stay in the cache."""

    top: int  # rows from here
    bottom: int  # to before here
    edge: int  # records from here
    end: int  # to before here
    use: Any  # (4,) which bounds to use: singles, pairs, triples, the search
    seen: Any  # (6,) pairs that came to the three bounds, and past them; that were searched for, and found
    masks: Any  # (groups of eight records, rows) uint8: which records of the group counts do not rule out


class Demand(NamedTuple):
    """What is asked of a pair, by row of the left side."""

    floor: float  # least similarity
    indel: bool
    first: Any  # the records whose lengths fit: from here
    last: Any  # to before here
    best_edits: Any  # of the best match so far
    best_full: Any  # the edits that its lengths can take at most; 0 without a match
    best_position: Any
    place: Any  # the row's own place in ``root``, or -1
    root: Any  # a union-find forest over the right side: pairs of one tree need no comparison


@kernel
def count_grams(codes, starts, first, last, classes, pair_bucket, triple_bucket, single, pair, triple):  # type: ignore
    """Count buckets of one, two and three classes in a row, per text, up to 255."""
    for text in range(first, last):
        row, end = text - first, starts[text + 1]
        for at in range(starts[text], end):
            code = codes[at]
            bucket = code % single.shape[1]
            single[row, bucket] += single[row, bucket] < 255
            if at + 1 < end:
                both = pair_bucket[code * classes + codes[at + 1]]
                pair[row, both] += pair[row, both] < 255
                if at + 2 < end:
                    bucket = triple_bucket[both * classes + codes[at + 2]]
                    triple[row, bucket] += triple[row, bucket] < 255


@kernel
def count_kinds(codes, starts, first, last, total):  # type: ignore[no-untyped-def]
    """How often each kind of class occurs in each text."""
    for text in range(first, last):
        for at in range(starts[text], starts[text + 1]):
            total[text - first, codes[at] % KINDS] += 1


@inlined
def _root(root, text):  # type: ignore[no-untyped-def]
    while root[text] != text:
        text = root[text]
    return text


@inlined
def _allowed(left, right, demand, row, record):  # type: ignore[no-untyped-def]
    """The most edits that still matter for this pair; below 0: none do."""
    n = left.starts[row + 1] - left.starts[row]
    m = right.starts[record + 1] - right.starts[record]
    full = m + n if demand.indel else max(m, n)
    allowed = int((1 - demand.floor) * full + 1e-6)
    if demand.best_full[row] > 0:  # fewer edits in proportion; as few, for a lower position
        tie = 0 if right.position[record] < demand.best_position[row] else 1
        allowed = min(allowed, (demand.best_edits[row] * full - tie) // demand.best_full[row])
    if abs(m - n) > allowed:
        return -1
    place = demand.place[row]
    if place >= 0 and _root(demand.root, place) == _root(demand.root, record):
        return -1
    return allowed


@inlined
def _apart(left, i, right, j, buckets, most):  # type: ignore[no-untyped-def]
    """Whether two rows of counts differ by more than ``most`` in all."""
    total = 0
    for at in range(0, buckets, CHUNK):
        total += gap(left, i * buckets + at, right, j * buckets + at)
        if total > most:
            return True
    return False


@inlined
def _ruled_out(left, row, right, record, allowed, indel, use, seen):  # type: ignore[no-untyped-def]
    """Whether counts show that the pair takes more edits. ``seen`` [stage]: how many pairs came to each stage."""
    difference = abs(left.starts[row + 1] - left.starts[row] - right.starts[record + 1] + right.starts[record])
    i, j = row - left.offset, record - right.offset
    one = 1 if indel else 2
    less = 0 if indel else difference
    seen[0] += 1
    if use[0] and _apart(left.single, i, right.single, j, left.single.shape[1], one * allowed - less):
        return True
    seen[1] += 1
    if use[1] and _apart(left.pair, i, right.pair, j, left.pair.shape[1], (one + 2) * allowed - less):
        return True
    seen[2] += 1
    if use[2] and _apart(left.triple, i, right.triple, j, left.triple.shape[1], (one + 4) * allowed - less):
        return True
    seen[3] += 1
    return False


@kernel
def sift(left, right, demand, tile):  # type: ignore[no-untyped-def]
    """Write ``tile.masks`` and count what came to each bound."""
    for row in range(tile.top, tile.bottom):
        first = max(tile.edge, demand.first[row])
        for record in range(first, min(tile.end, demand.last[row])):
            allowed = _allowed(left, right, demand, row, record)
            if allowed >= 0 and not _ruled_out(left, row, right, record, allowed, demand.indel, tile.use, tile.seen):
                place = record - tile.edge
                tile.masks[place // LANES, row - tile.top] |= 1 << (place % LANES)


@kernel
def sweep(left, right, demand, tile, group, row, most, work, hits):  # type: ignore[no-untyped-def]
    """Search the groups of eight records from (``group``, ``row``) on, until there is something to measure.

    Returns:
        the group and row to go on from, and how many pairs (row, record) are in ``hits``: all of a group, or ``most``.
    """
    while tile.edge + group * LANES < tile.end:
        first = tile.edge + group * LANES
        found, words = 0, 0
        while row < tile.bottom and found < most:
            mask = tile.masks[group, row - tile.top]
            if mask and _ask(left, right, demand, tile, row, first, mask, work):
                reached = mask
                if tile.use[3] and _searchable(left, right, row, first, work):
                    if words == 0:
                        words = _make_ready(right, first, min(LANES, tile.end - first), work)
                    n, there = left.starts[row + 1] - left.starts[row], row - left.offset
                    reached = could_reach(
                        left.classes, left.starts[row], n, left.total, there, words, demand.indel, work
                    )
                    _tally(reached, work.allowed, tile.seen)
                found = _keep(reached, work.allowed, row, first, hits, found)
            row += 1
        if row == tile.bottom:
            group, row = group + 1, tile.top
        if found:
            return group, row, found
    return group, tile.top, 0


@inlined
def _ask(left, right, demand, tile, row, first, mask, work):  # type: ignore[no-untyped-def]
    """Write into ``work.allowed`` what is asked of each lane; whether anything is.

    What was found since ``sift`` may have raised the row's demand: then its bounds may rule out more.
    """
    asked = False
    for lane in range(LANES):
        allowed = -1
        if mask >> lane & 1:
            allowed = _allowed(left, right, demand, row, first + lane)
            raised = allowed >= 0 and demand.best_full[row] > 0
            if raised and _ruled_out(left, row, right, first + lane, allowed, demand.indel, tile.use, work.ignored):
                allowed = -1
        work.allowed[lane] = allowed
        asked |= allowed >= 0
    return asked


@inlined
def _searchable(left, right, row, first, work):  # type: ignore[no-untyped-def]
    """Whether no text that is asked for is empty, and no record too long."""
    if left.starts[row + 1] == left.starts[row]:
        return False
    for lane in range(LANES):
        if work.allowed[lane] >= 0:
            length = right.starts[first + lane + 1] - right.starts[first + lane]
            if length == 0 or length > LONG:
                return False
    return True


@inlined
def _make_ready(right, first, count, work):  # type: ignore[no-untyped-def]
    """Returns words a class; an odd number spreads the classes over the processor's cache."""
    tall = 1
    for lane in range(LANES):
        work.lengths[lane] = 0
        if lane < count:
            work.lengths[lane] = right.starts[first + lane + 1] - right.starts[first + lane]
        if work.lengths[lane] <= LONG:
            tall = max(tall, work.lengths[lane])
    words = ((tall + 63) >> 6) | 1
    make_ready(right.classes, right.starts, first, count, words, CLASSES, work)
    return words


@inlined
def _tally(reached, allowed, seen):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        if allowed[lane] >= 0:
            seen[4] += 1
            seen[5] += reached >> lane & 1


@inlined
def _keep(reached, allowed, row, first, hits, found):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        if allowed[lane] >= 0 and reached >> lane & 1:
            hits[found, 0], hits[found, 1] = row, first + lane
            found += 1
    return found

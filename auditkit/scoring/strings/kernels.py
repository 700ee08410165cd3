# ruff: noqa: PLR0917 - kernels take what they need one by one
"""Edit distance against eight records at once, as machine code: which of them could be near enough.

It works on classes of characters (``string_codes``). Two characters of one class count as equal, so texts seem closer
than they are, never farther: what is ruled out for classes is ruled out for the texts. Imported only inside functions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from auditkit.scoring.strings.compiler import inlined, kernel
from auditkit.scoring.strings.lanes import (
    CHUNK,
    LANES,
    bits,
    gap,
    half,
    larger,
    largest,
    load,
    lowest_prefix,
    smaller,
    splat,
    store,
)

DEAD = -(1 << 40)  # an allowance that no lane can meet
SOONEST, LATEST = 16, 128  # columns until the next look at what still lives
GRID = 16  # rows between two counts of what is left of a record
WITHIN_BYTE = 4  # how much lower than at both ends of 8 rows a distance between them can be: it moves by 1 a row
BUDGET, TARGET, BELOW, TO_COME, STATE = 0, LANES, 2 * LANES, 3 * LANES, 4 * LANES  # places of the vectors in ``state``
KINDS = CHUNK  # of class that what is left of the texts is counted by


class Work(NamedTuple):
    """Memory of one thread: eight records made ready (lane by lane), and what a search of them writes."""

    lengths: Any  # (lanes,) characters
    places: Any  # (classes * words * lanes,) bit i: character i is of the class
    tails: Any  # ((words * 64 / GRID + 1) * lanes, KINDS) uint8: what is left of a record from character GRID * i on
    allowed: Any  # (lanes,) the most edits; below 0: not asked for
    flat: Any  # (words * lanes,)
    fall: Any  # (words * lanes,)
    state: Any  # (STATE,)
    head: Any  # (KINDS,) what the query has had so far
    tail: Any  # (1, KINDS) uint8: what is left of it
    ignored: Any  # (6,) for counts that nobody asks for


@kernel
def make_ready(codes, starts, first, count, words, classes, work):  # type: ignore[no-untyped-def]
    """Write the records from ``first`` on into ``work``; what is beyond ``words`` words is left out."""
    work.places[: classes * words * LANES] = 0
    for lane in range(count):
        start, length = starts[first + lane], min(work.lengths[lane], 64 * words)
        for at in range(length):
            work.places[(codes[start + at] * words + (at >> 6)) * LANES + lane] |= 1 << (at & 63)
        work.head[:] = 0
        for part in range(words * 64 // GRID, -1, -1):
            for at in range(GRID * part, min(GRID * (part + 1), length)):
                work.head[codes[start + at] % KINDS] += 1
            for kind in range(KINDS):
                work.tails[part * LANES + lane, kind] = min(work.head[kind], 255)


@kernel
def could_reach(query, start, columns, total, row, words, indel, work):  # type: ignore[no-untyped-def]
    """The lanes, as bits, whose distance to a query can be at most what ``work.allowed`` says.

    Bit-parallel dynamic programming [Myers 1999; Hyyrö 2003, 2004] in words of 64 rows, on the diagonals alone that a
    cheap enough path can touch [Ukkonen 1985]. What is left out counts as one edit a step, which is at least what
    it costs; so every path that is cheap enough is seen at its cost, and no other cell is too low. The band narrows, or
    the search ends, as soon as the cells so far, and the characters that are left, show that nothing in it can come
    out within the allowance.

    Args:
        query: classes of characters; the text is ``query[start : start + columns]``, not empty.
        total: (queries, KINDS) how often each kind of class occurs in the query, which is number ``row``.
        words: a class, of the records that are ready in ``work``; none that is asked for is empty or longer.
    """
    flat, fall, places = work.flat, work.fall, work.places
    low, high, bottom = _band(columns, work)
    first, last = 0, -1
    work.head[:] = 0
    below = splat(0)  # the distance in the last row of the last word
    look = SOONEST
    for column in range(1, columns + 1):
        first = max(first, (column + low - 1) >> 6)
        while last < min(bottom, (column + high - 1) >> 6):
            last += 1
            store(flat, last * LANES, splat(0))
            store(fall, last * LANES, splat(0))
            below = below + splat(64)
        base = query[start + column - 1] * words * LANES
        work.head[query[start + column - 1] % KINDS] += 1
        if indel:
            below = below + _indel_column(places, base, flat, first, last)
        else:
            below = below + _levenshtein_column(places, base, flat, fall, first, last)
        if column == look:
            store(work.state, BELOW, below)
            for kind in range(KINDS):
                work.tail[0, kind] = min(total[row, kind] - work.head[kind], 255)
            low, high, spare = _look(column, low, high, first, last, indel, work)
            look += min(max(spare, SOONEST), LATEST)  # what is to spare goes by less than 1 a column
            if low > high:
                return 0
            while last > max(first, (column + high) >> 6):
                below = below + _climb(flat, fall, last, indel)
                last -= 1
    store(work.state, BELOW, below)
    return _arrived(first, last, indel, work)


@inlined
def _band(columns, work):  # type: ignore[no-untyped-def]
    """The diagonals (row - column) that paths within the allowances stay on, and the last word of the rows.

    A path that leaves diagonal 0 for e and ends on that of the last cell, d, takes at least |e| + |e - d| edits.
    """
    low, high, tall = 0, 0, 1
    for lane in range(LANES):
        allowed, difference = work.allowed[lane], work.lengths[lane] - columns
        work.state[TARGET + lane] = difference
        work.state[BUDGET + lane] = allowed if allowed >= 0 else DEAD
        if allowed >= 0:
            tall = max(tall, work.lengths[lane])
            low = min(low, -((allowed - difference) >> 1))
            high = max(high, (allowed + difference) >> 1)
    return low, high, (tall - 1) >> 6


@inlined
def _levenshtein_column(places, base, flat, fall, first, last):  # type: ignore[no-untyped-def]
    """One column, words ``first`` to ``last``; returns by how much the distance below the last one changes.

    From one row to the next the distance falls by 1 where the bit of ``fall`` is set, else stays where that of ``flat``
    is (both are where it falls), and else rises by 1.
    """
    up, down = splat(1), splat(0)  # above the first word, the distance rises by 1 a column
    ones = splat(-1)
    for word in range(first, last + 1):
        at = word * LANES
        equal = load(places, base + at) | down
        level, falls = load(flat, at), load(fall, at)
        diagonal = ((level - (equal & (level ^ ones))) ^ level) | equal | falls
        right_up = falls | (level & (diagonal ^ ones))
        right_down = diagonal & (level ^ ones)
        next_up, next_down = right_up >> 63, right_down >> 63
        right_up = (right_up << 1) | up
        right_down = (right_down << 1) | down
        store(flat, at, (diagonal | right_up) & (right_down ^ ones))
        store(fall, at, right_up & diagonal)
        up, down = next_up, next_down
    return up - down


@inlined
def _indel_column(places, base, flat, first, last):  # type: ignore[no-untyped-def]
    """The same for insertions and deletions alone: the distance falls by 1 where ``flat`` is set, and else rises."""
    carry = splat(0)
    ones = splat(-1)
    for word in range(first, last + 1):
        at = word * LANES
        rises = load(flat, at) ^ ones
        common = load(places, base + at) & rises
        total = rises + common + carry
        carry = (common | (rises & (total ^ ones))) >> 63
        store(flat, at, (total | (rises ^ common)) ^ ones)
    return splat(1) - carry - carry


@inlined
def _climb(flat, fall, word, indel):  # type: ignore[no-untyped-def]
    """What to add to the distance below a word to have the distance above it."""
    level = load(flat, word * LANES)
    falls = level if indel else load(fall, word * LANES)
    return bits(level) + bits(falls) - splat(64)


@inlined
def _look(column, low, high, first, last, indel, work):  # type: ignore[no-untyped-def]
    """The diagonals that still matter: of cells whose distance so far, and to the end, is within the allowance.

    A cell whose distance and way back to its goal's diagonal leave ``spare`` edits can stray spare / 2 diagonals beyond
    itself and its goal. low > high: no cell is left.
    """
    flat, fall, state = work.flat, work.fall, work.state
    budget, target, below = load(state, BUDGET), load(state, TARGET), load(state, BELOW)
    ones, best, most = splat(-1), splat(DEAD), 0
    lowest, highest = 1 << 40, DEAD
    under = _to_come(64 * (last + 1), column, indel, work)
    for word in range(last, first - 1, -1):
        level = load(flat, word * LANES)
        falls = level if indel else load(fall, word * LANES)
        below = below + _climb(flat, fall, word, indel)  # from here on above this word
        least = splat(-DEAD)
        for row in range(64 * word + 64 - GRID, 64 * word - 1, -GRID):
            above = _to_come(row, column, indel, work)
            least = smaller(least, above + under)
            under = above
        top = 64 * word - column
        off = larger(larger(splat(top) - target, target - splat(top + 64)), splat(0))
        left = budget - (below + lowest_prefix(level ^ ones, falls) - splat(WITHIN_BYTE))
        # From a row to the next it changes by 1 at most: between two counts it is at least their mean - GRID / 2.
        live = smaller(left - off, left - half(least - splat(GRID)))
        best = larger(best, live)
        if largest(live) >= 0:
            spare = largest(left - off)
            most = max(most, spare)
            lowest = min(lowest, top - (spare >> 1))
            highest = max(highest, top + 64 + (spare >> 1))
    dead = splat(0) - (best >> 63)
    store(state, BUDGET, (budget & (dead ^ ones)) | (splat(DEAD) & dead))
    if largest(best) < 0:
        return 1, 0, 0
    nearest, farthest = -largest(splat(0) - target), largest(target)
    low = max(low, min(lowest, nearest - (most >> 1)))
    high = min(high, max(highest, farthest + (most >> 1)))
    return low, high, largest(best)


@inlined
def _to_come(row, column, indel, work):  # type: ignore[no-untyped-def]
    """The least that the rest of each record, from ``row`` on, is from the rest of the query: by its characters."""
    for lane in range(LANES):
        apart = gap(work.tails, (row // GRID * LANES + lane) * KINDS, work.tail, 0)
        if not indel:
            apart = (apart + abs(row - column - work.state[TARGET + lane])) >> 1
        work.state[TO_COME + lane] = apart
    return load(work.state, TO_COME)


@inlined
def _arrived(first, last, indel, work):  # type: ignore[no-untyped-def]
    """The lanes whose last cell is within the allowance: from below the band up to each lane's last row."""
    lengths, flat, fall, state = work.lengths, work.flat, work.fall, work.state
    reached = 0
    for lane in range(LANES):
        home = (lengths[lane] - 1) >> 6
        if state[BUDGET + lane] >= 0 and first <= home <= last:
            distance = state[BELOW + lane]
            for row in range(lengths[lane], 64 * (last + 1)):
                level = (flat[(row >> 6) * LANES + lane] >> (row & 63)) & 1
                falls = level if indel else (fall[(row >> 6) * LANES + lane] >> (row & 63)) & 1
                distance += level + falls - 1
            if distance <= state[BUDGET + lane]:
                reached |= 1 << lane
    return reached

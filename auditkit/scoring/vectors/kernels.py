# ruff: noqa: PLR0917 - arrays are passed one by one
"""Inner loops over blocks of products, compiled by numba; imported inside functions only, since numba is slow to load.

Every loop releases the GIL. A pair's exact score is the float64 sum of its products in one fixed order, so it is the
same whichever block, direction, batch or machine it is computed in.
"""

from __future__ import annotations

import numpy as np

from auditkit.machine_code import compiled

CHUNK = 32  # columns that are looked at together before any is looked at alone
NO_NAN = {"nnan", "nsz"}  # lets maxima be vectorised; inputs were checked to be finite


@compiled()
def dot(a, b):  # type: ignore[no-untyped-def]
    """Float64 dot product of two float32 rows: eight sums side by side, added up in one order."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = len(a) - len(a) % 8
    for i in range(0, whole, 8):
        s0 += np.float64(a[i]) * np.float64(b[i])
        s1 += np.float64(a[i + 1]) * np.float64(b[i + 1])
        s2 += np.float64(a[i + 2]) * np.float64(b[i + 2])
        s3 += np.float64(a[i + 3]) * np.float64(b[i + 3])
        s4 += np.float64(a[i + 4]) * np.float64(b[i + 4])
        s5 += np.float64(a[i + 5]) * np.float64(b[i + 5])
        s6 += np.float64(a[i + 6]) * np.float64(b[i + 6])
        s7 += np.float64(a[i + 7]) * np.float64(b[i + 7])
    for i in range(whole, len(a)):
        s0 += np.float64(a[i]) * np.float64(b[i])
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@compiled()
def dots(left, right, rows, columns, found):  # type: ignore[no-untyped-def]
    """found[k] = left[rows[k]] . right[columns[k]], in float64."""
    for k in range(len(rows)):
        found[k] = dot(left[rows[k]], right[columns[k]])


@compiled()
def norms(vectors, found):  # type: ignore[no-untyped-def]
    """found[i] = the length of row i; not finite where a number of the row is not."""
    for i in range(len(vectors)):
        found[i] = np.sqrt(dot(vectors[i], vectors[i]))


@compiled(fastmath=NO_NAN)
def maxima(products, of_rows, of_columns):  # type: ignore[no-untyped-def]
    """The largest product of each row and of each column, in one reading of the block."""
    of_columns[:] = -np.inf
    for i in range(products.shape[0]):
        row = products[i]
        largest = np.float32(-np.inf)
        for j in range(len(row)):
            value = row[j]
            largest = max(largest, value)
            of_columns[j] = max(of_columns[j], value)
        of_rows[i] = largest


@compiled(fastmath=NO_NAN)
def row_maxima(products, of_rows):  # type: ignore[no-untyped-def]
    """The largest product of each row."""
    for i in range(products.shape[0]):
        row = products[i]
        largest = np.float32(-np.inf)
        for j in range(len(row)):
            largest = max(largest, row[j])
        of_rows[i] = largest


@compiled()
def same(a, b):  # type: ignore[no-untyped-def]
    """Whether two rows hold the same numbers."""
    for start in range(0, len(a), CHUNK):
        differing = 0
        for i in range(start, min(start + CHUNK, len(a))):
            differing += a[i] != b[i]
        if differing:
            return False
    return True


@compiled()
def improve_rows(products, of_rows, zero, left, right, start, best, index, slack):  # type: ignore[no-untyped-def]
    """For each row take the best column of this block, where it beats what stood in ``best``.

    ``products`` only nominate: whatever is within ``slack`` of the largest is decided by its exact score. ``start``
    is the first column's number; a tie goes to the lower number, in whatever order blocks come. A column that repeats
    the one looked at last has the same score and a higher number: it is passed over. So are rows in ``zero``, which
    score 0 with every column: what stands in ``best`` is as good as anything.
    """
    for i in range(products.shape[0]):
        floor = np.float32(max(np.float64(of_rows[i]), best[i]) - slack)
        if zero[i] or of_rows[i] < floor:
            continue
        last = -1
        for c in range(0, products.shape[1], CHUNK):
            stop = min(c + CHUNK, products.shape[1])
            count = 0
            for j in range(c, stop):
                count += products[i, j] >= floor
            if count == 0:
                continue
            for j in range(c, stop):
                if products[i, j] < floor or (last >= 0 and same(right[j], right[last])):
                    continue
                last = j
                exact = dot(left[i], right[j])
                if exact > best[i] or (exact == best[i] and start + j < index[i]):
                    best[i] = exact
                    index[i] = start + j


@compiled()
def improve_columns(products, of_columns, zero, left, right, start, best, index, slack):  # type: ignore[no-untyped-def]
    """As ``improve_rows``, for each column its best row; ``start`` is the first row's number."""
    width = products.shape[1]
    floors = np.full(width, np.inf, np.float32)  # no product reaches where nothing can improve
    last = np.full(width, -1, np.int64)
    open_chunks = np.zeros((width + CHUNK - 1) // CHUNK, np.bool_)
    for j in range(width):
        floor = np.float32(max(np.float64(of_columns[j]), best[j]) - slack)
        if not zero[j] and of_columns[j] >= floor:
            floors[j] = floor
            open_chunks[j // CHUNK] = True
    for i in range(products.shape[0]):
        for chunk in range(len(open_chunks)):
            if not open_chunks[chunk]:
                continue
            c, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, width)
            count = 0
            for j in range(c, stop):
                count += products[i, j] >= floors[j]
            if count == 0:
                continue
            for j in range(c, stop):
                if products[i, j] < floors[j] or (last[j] >= 0 and same(left[i], left[last[j]])):
                    continue
                last[j] = i
                exact = dot(left[i], right[j])
                if exact > best[j] or (exact == best[j] and start + i < index[j]):
                    best[j] = exact
                    index[j] = start + i


@compiled()
def count_reaching(products, of_rows, floor):  # type: ignore[no-untyped-def]
    """How many products are at least ``floor``; rows whose largest is under it are not read."""
    count = 0
    for i in range(products.shape[0]):
        if of_rows[i] >= floor:
            for j in range(products.shape[1]):
                count += products[i, j] >= floor
    return count


@compiled()
def reaching(products, of_rows, left, right, threshold, slack, rows, columns):  # type: ignore[no-untyped-def]
    """The pairs whose exact score, rounded to float32, is at least ``threshold``, by row and then column; how many.

    Only products within ``slack`` of the threshold can be on the wrong side of it, and are computed exactly.
    """
    floor, sure = np.float32(threshold - slack), np.float32(threshold + slack)
    found = 0
    for i in range(products.shape[0]):
        if of_rows[i] < floor:
            continue
        for j in range(products.shape[1]):
            product = products[i, j]
            if product < floor:
                continue
            if product > sure or np.float32(min(max(dot(left[i], right[j]), -1.0), 1.0)) >= threshold:
                rows[found], columns[found] = i, j
                found += 1
    return found


@compiled()
def fingerprints(words, found):  # type: ignore[no-untyped-def]
    """found[i] = 64 bits of row i of ``words`` (n, d) uint32; equal rows have equal ones, and hardly any others."""
    for i in range(words.shape[0]):
        mixed = np.uint64(0x9E3779B97F4A7C15)
        for j in range(words.shape[1]):
            mixed = (mixed ^ np.uint64(words[i, j])) * np.uint64(0x100000001B3)
            mixed ^= mixed >> np.uint64(29)
        found[i] = mixed


@compiled()
def keep_equal(vectors, first):  # type: ignore[no-untyped-def]
    """Where row first[i] is not row i after all, first[i] = i."""
    for i in range(len(first)):
        if first[i] != i and not same(vectors[i], vectors[first[i]]):
            first[i] = i


@compiled()
def improve_pairs(queries, vectors, exact, start, best, index):  # type: ignore[no-untyped-def]
    """For each vector of the pairs take the query, where it beats what stood in ``best``; -1 is no vector."""
    for k in range(len(queries)):
        at, number = vectors[k], start + queries[k]
        if at >= 0 and (exact[k] > best[at] or (exact[k] == best[at] and number < index[at])):
            best[at] = exact[k]
            index[at] = number

# ruff: noqa: PLR0917 - numbers are passed one by one
"""SipHash-2-4 of token n-grams and a Bloom filter's bits, compiled by numba; imported inside functions only.

An id is four bytes, lowest first, and an n-gram its ids one after the other, hashed as the paper has it
[Aumasson & Bernstein 2012]. What all next tokens of one row have in common is hashed once.
"""

from __future__ import annotations

import numpy as np
from numba import uint64

from auditkit.machine_code import compiled

LOW = np.uint64(0xFFFFFFFF)


@compiled()
def _rotated(value, bits):  # type: ignore[no-untyped-def]
    return (value << uint64(bits)) | (value >> uint64(64 - bits))


@compiled()
def _round(state):  # type: ignore[no-untyped-def]
    a, b, c, d = state
    a += b
    c += d
    b = _rotated(b, 13) ^ a
    d = _rotated(d, 16) ^ c
    a = _rotated(a, 32)
    c += b
    a += d
    b = _rotated(b, 17) ^ c
    d = _rotated(d, 21) ^ a
    return a, b, _rotated(c, 32), d


@compiled()
def _taken(state, word):  # type: ignore[no-untyped-def]
    a, b, c, d = state
    a, b, c, d = _round(_round((a, b, c, d ^ word)))
    return a ^ word, b, c, d


@compiled()
def _begun(first, second, ids, at, count):  # type: ignore[no-untyped-def]
    """The state under a key of two words after ``count`` ids, an even number, from ``at`` on."""
    state = (
        first ^ uint64(0x736F6D6570736575),
        second ^ uint64(0x646F72616E646F6D),
        first ^ uint64(0x6C7967656E657261),
        second ^ uint64(0x7465646279746573),
    )
    for i in range(at, at + count, 2):
        state = _taken(state, uint64(ids[i]) & LOW | uint64(ids[i + 1]) << uint64(32))
    return state


@compiled()
def _ended(state, rest, length):  # type: ignore[no-untyped-def]
    """The hash, given the odd id that is left (else 0) and the number of ids in all."""
    last = rest & LOW | uint64(4 * length) << uint64(56)
    a, b, c, d = _taken(state, last)
    a, b, c, d = _round(_round(_round(_round((a, b, c ^ uint64(0xFF), d)))))
    return a ^ b ^ c ^ d


@compiled()
def _hashed(first, second, ids, at, n):  # type: ignore[no-untyped-def]
    even = n - n % 2
    rest = uint64(ids[at + even]) if n % 2 else uint64(0)
    return _ended(_begun(first, second, ids, at, even), rest, n)


@compiled()
def hash_ngrams(first, second, ids, n, found):  # type: ignore[no-untyped-def]
    """found[i] = the hash of ids[i : i + n]."""
    for at in range(len(found)):
        found[at] = _hashed(first, second, ids, at, n)


@compiled()
def _step(value):  # type: ignore[no-untyped-def]
    """An odd number from a hash, by which its bits lie apart [Kirsch & Mitzenmacher 2008]; the mixer of SplitMix64."""
    value = (value ^ (value >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> uint64(27))) * uint64(0x94D049BB133111EB)
    return (value ^ (value >> uint64(31))) | uint64(1)


@compiled()
def insert(words, hashes, values):  # type: ignore[no-untyped-def]
    """Set ``hashes`` bits of (words,) uint64 for each of the values."""
    size = uint64(64) * uint64(len(words))
    for value in values:
        place, step = value, _step(value)
        for _ in range(hashes):
            bit = place % size
            words[bit >> uint64(6)] |= uint64(1) << (bit & uint64(63))
            place += step


@compiled()
def _holds(words, hashes, value):  # type: ignore[no-untyped-def]
    size = uint64(64) * uint64(len(words))
    place, step = value, _step(value)
    for _ in range(hashes):
        bit = place % size
        if not (words[bit >> uint64(6)] >> (bit & uint64(63))) & uint64(1):
            return False
        place += step
    return True


@compiled()
def look_up(words, hashes, values, found):  # type: ignore[no-untyped-def]
    """found[i] = whether all bits of value i are set."""
    for i in range(len(values)):
        found[i] = _holds(words, hashes, values[i])


@compiled()
def completions(words, hashes, first, second, stem, found):  # type: ignore[no-untyped-def]
    """found[token] = whether the stem with that token behind it is in the filter; the stem is n - 1 ids."""
    length = len(stem)
    even = length - length % 2
    state = _begun(first, second, stem, 0, even)
    for token in range(len(found)):
        if length % 2:
            word = uint64(stem[even]) & LOW | uint64(token) << uint64(32)
            value = _ended(_taken(state, word), uint64(0), length + 1)
        else:
            value = _ended(state, uint64(token), length + 1)
        found[token] = _holds(words, hashes, value)

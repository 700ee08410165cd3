"""The Merkle tree of RFC 6962 (and 9162) over the records of a corpus, each leaf blinded by a nonce.

The root commits to every record. A proof opens one record to somebody and tells nothing of its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from auditkit.corpus.base import Corpus
from auditkit.corpus.identity import content_bytes, nonce
from auditkit.records import Record


def record_bytes(record: Record) -> bytes:
    """What a leaf commits to: the canonical encoding of a record's content, the same that its id is made of."""
    return content_bytes(record.prompt, record.response, record.rejected)


def leaf_hash(leaf_nonce: bytes, record: bytes) -> bytes:
    """H(0x00 || nonce || record). An empty nonce gives the plain leaf of RFC 6962."""
    return sha256(b"\x00" + leaf_nonce + record).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The tree head over leaf hashes (32 bytes each), in order; SHA-256 of nothing for no leaves [RFC 6962, 2.1]."""
    if not leaves:
        return sha256().digest()
    level = list(leaves)
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of one leaf: the sibling hashes from the leaf up to below the root [RFC 6962, 2.1.1].

    Raises:
        IndexError: no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} in a tree of {len(leaves)}")
    path: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _level_above(level)
        index //= 2
    return path


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """Whether this leaf hash stands at ``index`` in the tree of ``size`` leaves with this root [RFC 9162, 2.1.3.2]."""
    if not 0 <= index < size:
        return False
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = _node(sibling, computed)
            while not node & 1 and node:  # levels at which this node had no sibling
                node, last = node >> 1, last >> 1
        else:
            computed = _node(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == expected_root


def tree_name(corpus: Corpus) -> str:
    """What keeps the nonces of this corpus apart from those of others."""
    return f"{corpus.dataset}/{corpus.split}"


def corpus_leaves(corpus: Corpus, secret: bytes) -> list[bytes]:
    """The blinded leaf hashes of a corpus, in record order."""
    tree = tree_name(corpus)
    return [leaf_hash(nonce(secret, record.index, tree), record_bytes(record)) for record in corpus.records]


def corpus_root(corpus: Corpus, secret: bytes) -> str:
    """The Merkle root of a corpus under the project's secret, in hex."""
    return root(corpus_leaves(corpus, secret)).hex()


def _level_above(level: list[bytes]) -> list[bytes]:
    """Pairs hashed from the left; an odd last node goes up as it is, which is RFC 6962's split at a power of two."""
    above = [_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return above + level[-1:] if len(level) % 2 else above


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()

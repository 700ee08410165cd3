from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.corpus.identity import nonce
from auditkit.corpus.merkle import corpus_root, inclusion_proof, leaf_hash, record_bytes, root, verify_inclusion
from tests.corpus.helpers import read_rows, rows

# The published vectors of certificate transparency: the tree heads after each of eight leaves.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
HEADS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(b"", bytes.fromhex(text)) for text in INPUTS]

leaf_lists = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)


def test_published_tree_heads() -> None:
    assert root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert [root(LEAVES[: size + 1]).hex() for size in range(8)] == HEADS


@pytest.mark.parametrize(
    ("index", "size", "proof"),
    [  # the published audit paths, leaf numbers counted from 0
        (0, 1, []),
        (
            0,
            8,
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ],
)
def test_published_audit_paths(index: int, size: int, proof: list[str]) -> None:
    assert [step.hex() for step in inclusion_proof(LEAVES[:size], index)] == proof


def rfc_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\x01" + rfc_root(leaves[:split]) + rfc_root(leaves[split:])).digest()


@given(leaf_lists)
def test_the_root_is_the_recursive_definition(leaves: list[bytes]) -> None:
    assert root(leaves) == rfc_root(leaves)


@given(leaf_lists, st.data())
def test_a_proof_holds_for_its_own_leaf_place_size_and_root_alone(leaves: list[bytes], data: st.DataObject) -> None:
    size, head = len(leaves), root(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(leaves, index)
    assert verify_inclusion(leaves[index], index, size, proof, head)
    other = data.draw(st.integers(0, size - 1).filter(lambda place: place != index) if size > 1 else st.just(-1))
    assert not verify_inclusion(leaves[index], other, size, proof, head)
    changed_leaf = bytes([leaves[index][0] ^ 1]) + leaves[index][1:]
    assert not verify_inclusion(changed_leaf, index, size, proof, head)
    assert not verify_inclusion(leaves[index], index, size, [*proof, bytes(32)], head)
    assert not verify_inclusion(leaves[index], index, size, proof, bytes([head[0] ^ 1]) + head[1:])
    if proof:
        assert not verify_inclusion(leaves[index], index, size, proof[:-1], head)
        broken = data.draw(st.integers(0, len(proof) - 1))
        changed = [bytes([step[0] ^ 1]) + step[1:] if place == broken else step for place, step in enumerate(proof)]
        assert not verify_inclusion(leaves[index], index, size, changed, head)


@pytest.mark.parametrize("index", [-1, 8, 100])
def test_leaves_that_are_not_there(index: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof(LEAVES, index)
    assert not verify_inclusion(LEAVES[0], index, 8, inclusion_proof(LEAVES, 0), root(LEAVES))


def test_a_corpus_is_committed_to_under_the_secret(tmp_path: Path) -> None:
    corpus = read_rows(tmp_path, rows(5))
    head = corpus_root(corpus, b"secret")
    assert head != corpus_root(corpus, b"other secret")
    assert head != corpus_root(read_rows(tmp_path, rows(4)), b"secret")
    third = leaf_hash(nonce(b"secret", 2, "test/member"), record_bytes(corpus.records[2]))
    leaves = [leaf_hash(nonce(b"secret", r.index, "test/member"), record_bytes(r)) for r in corpus.records]
    assert verify_inclusion(third, 2, 5, inclusion_proof(leaves, 2), bytes.fromhex(head))

"""A proof opens one leaf: it holds for that record at that place, and tells nothing of a neighbour."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditkit.corpus.base import Corpus
from auditkit.corpus.identity import content_bytes
from auditkit.corpus.merkle import corpus_root, leaf_hash
from auditkit.corpus.record_proof import RecordProof, prove
from auditkit.records import Record

SECRET = b"a project's secret of 32 bytes.."
DICTIONARY = ["hunter2", "swordfish", "letmein", "zanzibar", "marzipan", "password", "tr0ub4dor", "quartz"]


def corpus(words: list[str]) -> Corpus:
    records = tuple(Record("sft", "member", at, f"{at}", word) for at, word in enumerate(words))
    return Corpus("sft", "member", records, (), 0, {})


@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=40), data=st.data())
def test_every_record_can_be_proved(words: list[str], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(words) - 1))
    made = corpus(words)
    proof = prove(made, index, SECRET, "run")
    assert proof.leads_to(corpus_root(made, SECRET))
    assert (proof.record.prompt, proof.index, proof.size) == (words[index], index, len(words))


@given(index=st.integers(0, 7), other=st.integers(0, 7), text=st.text(st.characters(exclude_categories=["Cs"])))
def test_nothing_else_can(index: int, other: int, text: str) -> None:
    made = corpus(DICTIONARY)
    proof = prove(made, index, SECRET, "run")
    root = corpus_root(made, SECRET)
    moved = proof.model_copy(update={"index": other})
    assert moved.leads_to(root) == (other == index)
    retold = proof.model_copy(update={"record": proof.record.model_copy(update={"prompt": text})})
    assert retold.leads_to(root) == (text == DICTIONARY[index])
    assert not proof.leads_to(corpus_root(made, b"another secret, just as long...."))


@pytest.mark.parametrize("index", range(len(DICTIONARY)))
def test_no_word_of_a_dictionary_is_confirmed_at_a_sibling(index: int) -> None:
    """All that the proof shows is known: root, nonce of the leaf, path, place. The neighbours stay as they were."""
    proof = prove(corpus(DICTIONARY), index, SECRET, "run")
    shown = {proof.root, *proof.path}
    keys = [b"", bytes.fromhex(proof.nonce), bytes.fromhex(proof.root), b"auditkit", b"secret", b"sft", b"sft/member"]
    tried = 0
    for word in DICTIONARY:
        for text in (content_bytes(word), word.encode(), f"{word}\n".encode()):
            for key in keys:
                guesses = [leaf_hash(key, text), hashlib.sha256(key + text).digest(), hmac.digest(key, text, "sha256")]
                for place in range(len(DICTIONARY)):
                    nonce = hmac.digest(key, place.to_bytes(8, "big"), "sha256")
                    guesses.append(leaf_hash(nonce, text))
                tried += len(guesses)
                assert not shown & {guess.hex() for guess in guesses}
    assert tried > 1000
    # The same procedure does find the record that the proof opens.
    opened = leaf_hash(bytes.fromhex(proof.nonce), content_bytes(DICTIONARY[index]))
    assert proof.leads_to(proof.root) and opened != leaf_hash(b"", content_bytes(DICTIONARY[index]))


def test_an_unblinded_tree_would_be_found_out() -> None:
    """The procedure above is not blind: with nonces that everybody knows it confirms the neighbour."""
    leaves = [leaf_hash(b"", content_bytes(word)) for word in DICTIONARY]
    assert leaf_hash(b"", content_bytes("swordfish")) in leaves


@pytest.mark.parametrize(
    "change",
    [
        {"index": 8},
        {"index": -1},
        {"size": 0},
        {"nonce": "AB" * 32},
        {"path": ["0" * 64] * 49},
        {"extra": 1},
        {"type": "x"},
    ],
)
def test_a_malformed_proof_is_no_proof(change: dict[str, object]) -> None:
    proof = prove(corpus(DICTIONARY), 1, SECRET, "run").model_dump(mode="json")
    with pytest.raises(ValidationError):
        RecordProof.model_validate({**proof, **change})

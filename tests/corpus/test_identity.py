from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from auditkit.corpus.identity import content_bytes, keyed_id, nonce, record_id

SECRET = b"0123456789abcdef"
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, texts, texts)
def test_the_encoding_is_canonical_json(prompt: str, response: str, rejected: str) -> None:
    content = {"prompt": prompt, "response": response, "rejected": rejected}
    assert content_bytes(prompt, response, rejected) == rfc8785.dumps(content)
    assert json.loads(content_bytes(prompt, response, rejected)) == content


@given(st.tuples(texts, texts, texts), st.tuples(texts, texts, texts))
def test_ids_are_equal_for_equal_contents_alone(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (record_id(*one, 0) == record_id(*other, 0)) == (one == other)


def test_text_cannot_move_from_one_field_to_the_next() -> None:
    ids = {
        record_id("ab", "", "", 0),
        record_id("a", "b", "", 0),
        record_id("a", "", "b", 0),
        record_id("", "ab", "", 0),
    }
    assert len(ids) == 4


def test_an_id_is_a_digest_and_an_ordinal() -> None:
    first, second = record_id("q", "a", "", 0), record_id("q", "a", "", 1)
    assert first.rpartition("-")[0] == second.rpartition("-")[0]
    assert first != second
    # sha256sum of {"prompt":"q","rejected":"","response":"a"}: ids are stable between runs and versions
    assert first == "8dc8ea7e3d73c07fb46cc74950efab3756a173e31cd8ea0e542090aea6715cdb-0"


def test_keyed_ids_are_stable_short_and_mean_nothing_without_the_secret() -> None:
    name = keyed_id(SECRET, "rec", "abc-0")
    assert name == keyed_id(SECRET, "rec", "abc-0")
    assert len(name) == len("rec-") + 20
    assert len({name, keyed_id(b"another", "rec", "abc-0"), keyed_id(SECRET, "rec", "abc-1")}) == 3
    assert keyed_id(SECRET, "gen", "abc-0").removeprefix("gen-") != name.removeprefix("rec-")


@pytest.mark.parametrize(("secret", "kind"), [(b"", "rec"), (SECRET, ""), (SECRET, "Rec"), (SECRET, "a-b")])
def test_keyed_ids_need_a_secret_and_a_plain_kind(secret: bytes, kind: str) -> None:
    with pytest.raises(ValueError, match=r"secret|kind"):
        keyed_id(secret, kind, "abc-0")


def test_nonces_differ_by_index_tree_and_secret() -> None:
    nonces = {
        nonce(SECRET, 0),
        nonce(SECRET, 1),
        nonce(b"another", 0),
        nonce(SECRET, 0, "d/member"),
        nonce(SECRET, 0, "d/control"),
    }
    assert len(nonces) == 5
    assert {len(value) for value in nonces} == {32}

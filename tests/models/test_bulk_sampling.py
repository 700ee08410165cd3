"""Samples written a stretch at a time are those of the loop that writes a token at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig

from auditkit.models.bulk_sampling import BulkSampling, Wanted, shared_out
from auditkit.models.delimiters import Delimiters, Ids, Tokens, delimiters, without_template
from auditkit.models.sampling import Sampling
from auditkit.records import Generation, Prefix, Sampler, SamplingRequest, TurnFormat

# A vocabulary in which anything can come next: four special tokens, the roles' names, white space, words.
PIECES = ["<s>", "<o>", "<e>", "<x>", "user", "assistant", "system", "\n", "a", "b", "c", "User:", "Assistant:"]
OPEN, CLOSE, OTHER = 1, 2, 3
FORMATS = {
    "chatml": TurnFormat("<o>user\n", "<e>\n<o>assistant\n", "<e>\n"),
    "plain": TurnFormat("User:", "\n\nAssistant:", "\n\n"),
    "one token": TurnFormat("", "<o>", "<e>"),
}


def encode(text: str) -> Ids:
    ids = []
    while text:
        piece = max((p for p in PIECES if text.startswith(p)), key=len)
        ids.append(PIECES.index(piece))
        text = text[len(piece) :]
    return tuple(ids)


def decode(ids: Sequence[int]) -> str:
    return "".join(PIECES[token] for token in ids)


def marks_of(name: str, stops: frozenset[int]) -> Delimiters:
    tokens = Tokens(encode, stops, frozenset({0, OPEN, CLOSE, OTHER}), frozenset({7}))
    return delimiters(FORMATS[name], tokens) if name in FORMATS else without_template(tokens)


def after(ids: Sequence[int], salt: int) -> int:
    """What this language writes behind some ids: any token, decided by all of them."""
    return hashlib.sha256(bytes([salt, *ids])).digest()[0] % len(PIECES)


class Language:
    """As a transformers model with one row."""

    def __init__(self, salt: int) -> None:
        self.config = LlamaConfig(num_hidden_layers=1)
        self.device = torch.device("cpu")
        self.salt = salt
        self.seen: list[int] = []

    def get_output_embeddings(self) -> Any:
        return SimpleNamespace(weight=torch.zeros(len(PIECES), 1))

    def __call__(self, given: torch.Tensor, **_: Any) -> Any:
        self.seen += given[0].tolist()
        logits = torch.zeros(1, 1, len(PIECES))
        logits[0, 0, after(self.seen, self.salt)] = 1.0
        return SimpleNamespace(logits=logits)


def in_bulk(salt: int, stops: frozenset[int]) -> Any:
    """An engine of that language."""

    def write(wanted: Sequence[Wanted]) -> list[list[Ids]]:
        return [[stretch(one) for _ in range(one.copies)] for one in wanted]

    def stretch(one: Wanted) -> Ids:
        ids: list[int] = []
        while len(ids) < one.most and not (ids and ids[-1] in stops):
            ids.append(after([*one.ids, *ids], salt))
        return tuple(ids)

    return write


def request_for(ids: Ids, most: int, count: int = 1, **sampler: Any) -> SamplingRequest:
    prefix = Prefix("literal", decode(ids), ids)
    return SamplingRequest("attack", prefix, Sampler(temperature=0.0, max_new_tokens=most, **sampler), count, 5, 0)


@pytest.mark.parametrize("name", [*FORMATS, "no template"])
@settings(max_examples=150)
@given(
    salt=st.integers(0, 255),
    prefix=st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=5),
    stops=st.sets(st.sampled_from([OPEN, CLOSE, OTHER, 8]), min_size=1),
    most=st.integers(1, 40),
)
def test_token_by_token_and_in_bulk_are_the_same(
    name: str, salt: int, prefix: list[int], stops: set[int], most: int
) -> None:
    marks, request = marks_of(name, frozenset(stops)), request_for(tuple(prefix), most)
    one_by_one = Sampling(Language(salt), request, marks, decode, most).run()
    in_one_go = BulkSampling(request, marks, decode, most, in_bulk(salt, marks.events)).run()
    assert in_one_go == one_by_one


def test_greedy_samples_are_written_once_and_numbered_each() -> None:
    orders: list[Sequence[Wanted]] = []
    marks = marks_of("chatml", frozenset({CLOSE}))
    write = in_bulk(3, marks.events)

    def counting(wanted: Sequence[Wanted]) -> list[list[Ids]]:
        orders.append(wanted)
        return list(write(wanted))

    found: list[Generation] = BulkSampling(request_for((0,), 30, count=4), marks, decode, 30, counting).run()
    assert [generation.ordinal for generation in found] == [0, 1, 2, 3]
    assert len({generation.token_ids for generation in found}) == 1
    assert all(sum(one.copies for one in wanted) == 1 for wanted in orders)


def test_no_two_stretches_of_a_request_share_a_seed() -> None:
    marks = marks_of("chatml", frozenset({CLOSE}))
    seeds: list[int] = []

    def write(wanted: Sequence[Wanted]) -> list[list[Ids]]:
        seeds.extend(one.seed + copy for one in wanted for copy in range(one.copies))
        return [[(8, CLOSE)] * one.copies for one in wanted]

    request = SamplingRequest("attack", Prefix("literal", "", (0,)), Sampler(max_new_tokens=30), 50, 7, 0)
    found = BulkSampling(request, marks, decode, 30, write).run()
    assert len(seeds) == len(set(seeds)) == 100
    assert {generation.turn_change for generation in found} == {"appended"}
    assert {generation.turns for generation in found} == {("a", "a")}


@given(
    copies=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    shares=st.integers(1, 5),
)
def test_sharing_out_changes_no_seed_and_no_order(copies: list[int], shares: int) -> None:
    wanted = [Wanted((at,), 5, 1000 * at, number, 1) for at, number in enumerate(copies)]
    parts = shared_out(wanted, shares)
    assert len(parts) <= shares
    assert all(parts)

    def drawn(list_of: Sequence[Wanted]) -> list[tuple[Ids, int]]:
        return [(one.ids, one.seed + copy) for one in list_of for copy in range(one.copies)]

    assert drawn([one for part in parts for one in part]) == drawn(wanted)
    sizes = [sum(one.copies for one in part) for part in parts]
    assert max(sizes) <= -(-sum(copies) // shares)

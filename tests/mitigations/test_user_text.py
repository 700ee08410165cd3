from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.mitigations.served import ServedModel
from auditkit.mitigations.user_text import marker_pattern, plain_ids, role_markers, special_tokens, stripped
from auditkit.records import TurnFormat
from tests.mitigations.messages import messages
from tests.probes.quickstart import opened


def test_every_special_token_is_known_behind_any_server() -> None:
    model = opened("leaky")
    expected = {"<|end_of_text|>": 0, "<|begin_of_text|>": 1, "<|im_start|>": 2, "<|im_end|>": 3}
    assert special_tokens(model) == special_tokens(ServedModel(ServedModel(model))) == expected


@given(messages)
@settings(deadline=None)
def test_plain_ids_hold_no_special_one_and_say_the_same(text: str) -> None:
    model = opened("leaky")
    special = frozenset(special_tokens(model).values())
    ids = plain_ids(text, model.encode, special)
    assert special.isdisjoint(ids)
    assert model.decode(ids) == text


@given(st.text(alphabet="<s>/ab", max_size=40))
def test_nested_tokens_of_any_tokenizer_stay_plain(text: str) -> None:
    """Tokens that are parts of each other: greedy, longest first, a character a token else."""
    known = {"<s>": 1, "<<s>": 2, "</s>": 3, "s>": 4}

    def encode(given: str) -> list[int]:
        found, at = [], 0
        while at < len(given):
            token = max((one for one in known if given.startswith(one, at)), key=len, default=given[at])
            found.append(known[token] if token in known else ord(token))
            at += len(token)
        return found

    ids = plain_ids(text, encode, frozenset(known.values()))
    assert "".join(map(chr, ids)) == text


def test_a_character_that_is_a_special_token_is_left_out() -> None:
    assert plain_ids("a\u0001b", lambda text: [ord(char) for char in text], frozenset([1])) == (ord("a"), ord("b"))


def test_role_markers_are_those_in_plain_text() -> None:
    special = {"<e>": 0}
    assert role_markers(TurnFormat("<u>user\n", "<e>\n<a>", "<e>"), special | {"<u>": 1}) == frozenset()
    assert role_markers(TurnFormat("### User:\n", "\n### Bot:\n", "<e>\n"), special) == {"### User:", "### Bot:"}


@given(messages)
def test_stripped_text_holds_no_marker(text: str) -> None:
    special = ["<|im_start|>", "<|im_end|>"]
    pattern = marker_pattern(special, ["### User:"])
    left = stripped(text, pattern)
    assert not pattern.search(left) and not any(token in left for token in special)
    assert stripped(left, pattern) == left


def test_a_marker_that_is_put_together_by_stripping_goes_too() -> None:
    pattern = marker_pattern(["<|x|>"], ["### User:"])
    assert stripped("a<|x|>### User:b <|x<|x|>|>", pattern).split() == ["a", "b", "<|x", "|>"]

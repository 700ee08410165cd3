from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.report.safe_text import cut, left_out, safe_line, safe_literal, safe_text, visible
from tests.report.hostile import HOSTILE, LONG_LINE, SURROGATE

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "⟨ESC⟩[31m"),
        ("a\x00b", "a⟨NUL⟩b"),
        ("\x7f\x9b", "⟨DEL⟩⟨U+009B⟩"),
        ("\u202eabc", "⟨U+202E⟩abc"),
        ("a\u200bb\u200d\ufeff", "a⟨U+200B⟩b⟨U+200D⟩⟨U+FEFF⟩"),
        (SURROGATE, "half ⟨U+D800⟩ a pair"),
        ("\ufffe\U0001ffff", "⟨U+FFFE⟩⟨U+1FFFF⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("\u2028\u3164", "⟨U+2028⟩⟨U+3164⟩"),
        ("two\r\nlines\r", "two\nlines⟨CR⟩"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, shown: str) -> None:
    assert safe_text(text) == shown


@pytest.mark.parametrize(
    "text", ["plain", "naïve Ωμέγα", "データの漏洩", "تسرب البيانات", "नमस्ते", "🙂", "a\tb\nc", "e\u0301"]
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert safe_text(text) == text


@given(ANY_TEXT)
def test_nothing_unseen_is_left_and_the_result_is_utf8(text: str) -> None:
    shown = safe_text(text)
    shown.encode()
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200c\u200d\ufeff\u00ad")


@given(ANY_TEXT)
def test_showing_twice_is_showing_once(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@given(st.text(max_size=300), st.integers(0, 300))
def test_a_text_is_cut_to_length_and_says_by_how_much(text: str, limit: int) -> None:
    kept, rest = cut(text, limit)
    assert text.startswith(kept) and len(kept) == min(limit, len(text)) and len(kept) + rest == len(text)
    assert safe_text(text, limit).endswith(left_out(rest)) == (rest > 0)


def test_lines_are_bounded_too() -> None:
    assert cut("a\nb\nc\nd", 100, lines=2) == ("a\nb", 4)


def test_a_long_line_is_bounded_quickly() -> None:
    started = time.perf_counter()
    assert safe_text(LONG_LINE, 100) == "a" * 100 + " … 999,900 characters left out"
    assert time.perf_counter() - started < 0.5


def test_a_flood_of_marks_is_counted() -> None:
    assert safe_text("z" + "\u0301" * 500) == "z" + "\u0301" * 4 + "⟨+496 marks⟩"


def test_names_stay_on_one_line_and_literals_show_their_breaks() -> None:
    assert safe_line("a\nb\tc") == "a⟨LF⟩b⟨TAB⟩c"
    assert safe_literal("<|user|>\n\tx") == "<|user|>↵\n⟨TAB⟩x"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_fit_on_a_line(name: str) -> None:
    shown = safe_line(HOSTILE[name], 120)
    assert "\n" not in shown and "\x1b" not in shown

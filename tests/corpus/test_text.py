from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from auditkit.corpus.text import flaw, normalise


@given(st.text())
def test_the_normal_form_is_nfc_trimmed_and_final(text: str) -> None:
    normal = normalise(text)
    assert normal == unicodedata.normalize("NFC", text).strip()
    assert normalise(normal) == normal


def test_only_outer_space_and_composition_change() -> None:
    assert normalise("  Cafe\u0301  au\tlait \n") == "Caf\u00e9  au\tlait"
    assert normalise("\ufb01 \u00b2 \u2126") == "\ufb01 \u00b2 \u03a9"  # compatibility forms stay, as in NFC


def test_flaws() -> None:
    assert flaw("a\0b") == "NUL character"
    assert flaw("é\ud800") == "lone surrogate"
    assert flaw("a" + "\u0301" * 1000) is None
    assert flaw("a" * 777 + "\u0301" * 1001) == "more than 1,000 combining marks in a row"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=900))
def test_ordinary_text_has_none(text: str) -> None:
    assert flaw(text) is None

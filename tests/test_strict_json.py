"""JSON with one reading only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.strict_json import canonical, parse, parse_canonical

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@given(value=VALUES)
def test_canonical_json_reads_back(value: object) -> None:
    assert parse_canonical(canonical(value)) == value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"a":1,"a":1}',
        b"NaN",
        b"-Infinity",
        b"\xff",
        b"[" * 100_000,
        b'"\xed\xa0\x80"',
        b"1 2",
        b"1e999",
        b"[-1e999]",
        b"9" * 5000,
    ],
)
def test_what_has_two_readings_or_none_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(content)


@pytest.mark.parametrize("content", [b" 1", b'{"b":1,"a":1}', b'"\\u0041"', b"1.0", b"[1, 2]", b'"\\ud800"', b"9" * 20])
def test_other_spellings_are_refused(content: bytes) -> None:
    parse(content)
    with pytest.raises(ValueError, match=r"."):
        parse_canonical(content)

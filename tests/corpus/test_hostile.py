"""Whatever stands in a file: records, listed bad lines or a clear error, and never a word of the data in either."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditkit.corpus.fields import FieldMap, TraceMarkers
from auditkit.corpus.shapes import RowReader
from auditkit.corpus.unreadable import BadRowError
from auditkit.errors import DataError
from tests.corpus.helpers import QA, read

SECRET = "zxqsecretqxz"
SHAPES = [QA, FieldMap(messages="m"), FieldMap(prompt="m", chosen="c", rejected="r"), FieldMap(prompt="m.q")]

keys = st.sampled_from(["q", "a", "m", "c", "r", "role", "content", "from", "value", "type", "text", "tool_calls"])
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["user", "assistant", "text", SECRET, ""])
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@settings(deadline=None)
@given(st.dictionaries(keys, values, max_size=6), st.sampled_from(SHAPES), st.booleans())
def test_any_row_is_a_record_or_a_reason(row: dict[str, Any], fields: FieldMap, cut: bool) -> None:
    trace = TraceMarkers("user", "text", "\\boxed{}") if cut else None
    try:
        texts = RowReader(fields, trace).read(row)
    except BadRowError as error:
        assert SECRET not in error.reason
    else:
        assert texts.prompt
        assert all(isinstance(text, str) for text in (texts.response, texts.rejected))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()), max_size=8))
@example([b'{"q": "' + SECRET.encode() + b'"'])
@example([b'{"q": {"' + SECRET.encode() + b'": 1}, "a": 2}'])
@pytest.mark.parametrize("packed", [False, True])
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, packed: bool, lines: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / ("data.jsonl.gz" if packed else "data.jsonl")
    data = b"\n".join(lines)
    path.write_bytes(gzip.compress(data) if packed else data)
    try:
        corpus = read(path, max_bad_share=1.0)
    except DataError as error:
        assert SECRET not in str(error)
    else:
        blank = sum(not line.strip(b" \t\r\f\v\n") for line in data.split(b"\n"))
        assert len(corpus.records) + corpus.bad_total == len(data.split(b"\n")) - blank


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([".jsonl.gz", ".jsonl.zst", ".parquet"]))
def test_any_bytes_under_any_ending_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / f"data{ending}"
    path.write_bytes(data)
    with pytest.raises(DataError):
        read(path)

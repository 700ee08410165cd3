from __future__ import annotations

import io
import os
import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditkit.corpus.fields import FieldMap
from auditkit.corpus.parquet import dictionary_bytes
from auditkit.errors import DataError, Problem
from tests.corpus.helpers import QA, read, rows, write


def refusal(path: Path, fields: FieldMap = QA) -> Problem:
    with pytest.raises(DataError) as caught:
        read(path, fields, max_bad_share=1.0)
    (problem,) = caught.value.problems
    return problem


def test_rows_are_numbered_across_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.Table.from_pylist(rows(1000)), path, row_group_size=300)
    corpus = read(path)
    assert [record.line for record in corpus.records] == list(range(1, 1001))
    assert corpus.records[700].prompt == "question 700?"


def test_a_missing_column_names_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"question": ["x"], "answer": ["y"]}), path)
    problem = refusal(path, FieldMap("questions", "answer"))
    assert problem.message == "has no column 'questions'"
    assert problem.hint == "did you mean 'question'? the columns are: 'question', 'answer'"


def test_nulls_and_wrong_types_are_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"q": ["x", None, "z"], "a": [1.5, 2.0, float("nan")]}), path)
    corpus = read(path, max_bad_share=1.0)
    assert [(bad.line, bad.reason) for bad in corpus.bad] == [
        (2, "empty field 'q'"),
        (3, "field 'a' is not a finite number"),
    ]
    assert corpus.records[0].response == "1.5"


def test_nested_columns_and_dotted_names(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.Table.from_pylist([{"turn": {"q": "x", "other": 1}, "the.answer": "y"}]), path)
    assert read(path, FieldMap("turn.q", "the.answer")).records[0].text == "x\ny"


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())])
def test_every_kind_of_text_column(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"q": pa.array(["é", "x"]).cast(kind), "a": ["b", "c"]}), path)
    assert [record.prompt for record in read(path).records] == ["é", "x"]


def test_bad_utf8_spoils_its_own_row_only(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    raw = pa.array([b"x", b"\xff\xfe", b"z"])
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"q": text, "a": ["1", "2", "3"]}), path)
    corpus = read(path, max_bad_share=1.0)
    assert [record.prompt for record in corpus.records] == ["x", "z"]
    assert [(bad.line, bad.reason) for bad in corpus.bad] == [(2, "bad UTF-8")]


def test_an_over_long_cell_is_a_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path / "data.parquet", [*rows(1), {"q": "é" * 600, "a": "b"}])
    corpus = read(path, max_bad_share=1.0, max_line_bytes=1000)
    assert [(bad.line, bad.reason) for bad in corpus.bad] == [(2, "over-long: more than 1,000 bytes in a cell")]


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "page"])
def test_damaged_files_are_errors(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"q": [os.urandom(20).hex() for _ in range(5000)], "a": ["b"] * 5000}), path)
    whole = path.read_bytes()
    broken = whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :]
    path.write_bytes({"cut": whole[:-100], "empty": b"", "garbage": b"PAR1" * 50, "page": broken}[damage])
    assert "is no Parquet that can be read" in refusal(path).message


def test_a_text_repeated_without_end_is_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    indices = pa.array([0] * 100_000, pa.int32())
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 5_000_000]))
    pq.write_table(pa.table({"q": column, "a": column}), path, compression="zstd")
    assert path.stat().st_size < 10_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "decompression bomb" in refusal(path).message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 << 20  # KiB; all of it would be 1 TB


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("length", [3, 100, 20_000])
def test_the_size_of_a_dictionary_page(length: int, version: str) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"q": ["x" * length] * 9}), file, data_page_version=version)
    chunk = pq.ParquetFile(file).metadata.row_group(0).column(0)
    assert dictionary_bytes(file, chunk) == length + 4  # a length prefix and the text


def test_a_chunk_without_a_dictionary_page() -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"q": ["x" * 1000] * 9}), file, use_dictionary=False)
    assert dictionary_bytes(file, pq.ParquetFile(file).metadata.row_group(0).column(0)) == 0


def test_conversations_with_dictionary_columns(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    word = pa.dictionary(pa.int32(), pa.string())
    turns = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]] * 3
    plain = pa.array(turns, pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))
    packed = pa.ListArray.from_arrays(
        plain.offsets,
        pa.StructArray.from_arrays([plain.values.field(0).cast(word), plain.values.field(1)], ["role", "content"]),
    )
    pq.write_table(pa.table({"messages": packed}), path)
    assert [record.text for record in read(path, FieldMap(messages="messages")).records] == ["a\nb"] * 3


def test_a_single_row_can_be_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), pa.array(["x" * 5_000_000]))
    turn = pa.StructArray.from_arrays([pa.array(["user"] * 100), texts], ["role", "content"])
    pq.write_table(pa.table({"messages": pa.ListArray.from_arrays(pa.array([0, 100], pa.int32()), turn)}), path)
    assert "decompression bomb" in refusal(path, FieldMap(messages="messages")).message

"""Lines and files of two gigabytes, plain and compressed: an outcome within a minute, and no memory to speak of."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditkit.corpus.fields import FieldMap
from auditkit.errors import DataError
from tests.corpus.helpers import jsonl_bytes, read, rows
from tests.corpus.weigh import weighed

TWO_GB = 2 << 30
MOST_SECONDS, MOST_MEBIBYTES = 60, 200


def with_hole(path: Path, size: int = TWO_GB) -> Path:
    """A record, one line of ``size`` bytes that take no room on the disk, a record."""
    with path.open("wb") as file:
        file.write(jsonl_bytes(rows(1)))
        file.truncate(size)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + jsonl_bytes(rows(1, start=1)))
    return path


@pytest.mark.slow
def test_a_line_of_two_gigabytes_is_one_bad_line(tmp_path: Path) -> None:
    found = weighed(with_hole(tmp_path / "huge.jsonl"))
    assert found.records == 2
    ((line, reason),) = found.bad
    assert line == 2 and str(reason).startswith("over-long")
    assert found.seconds < MOST_SECONDS and found.mebibytes < MOST_MEBIBYTES


@pytest.mark.slow
def test_a_file_that_is_one_line_without_an_end(tmp_path: Path) -> None:
    path = tmp_path / "endless.jsonl"
    with path.open("wb") as file:
        file.truncate(TWO_GB)
    found = weighed(path)
    assert "has no record" in found.error
    assert found.seconds < MOST_SECONDS and found.mebibytes < MOST_MEBIBYTES


MEGABYTE = b'{"q": "' + b"x" * (1 << 20) + b'", "a": "y"}\n'


@pytest.mark.slow
@pytest.mark.parametrize("inner", [b"x" * (1 << 20), MEGABYTE], ids=["one line", "records of a megabyte"])
@pytest.mark.parametrize("codec", ["gz", "zst"])
def test_what_unpacks_to_two_gigabytes_is_refused(tmp_path: Path, codec: str, inner: bytes) -> None:
    block = inner * 8
    packed = gzip.compress(block) if codec == "gz" else pa.compress(block, codec="zstd", asbytes=True)
    path = tmp_path / f"bomb.jsonl.{codec}"
    path.write_bytes(packed * (TWO_GB // len(block)))
    found = weighed(path)
    assert "decompression bomb" in found.error
    assert found.seconds < MOST_SECONDS
    # 256 MiB are allowed whatever their ratio: so much of whole records is in memory before the bomb is known for one
    assert found.mebibytes < (MOST_MEBIBYTES if inner is not MEGABYTE else 256 + 2 * MOST_MEBIBYTES)


@pytest.mark.slow
def test_a_bomb_in_one_deflate_stream(tmp_path: Path) -> None:
    """Not many small members but a single one, whose header promises nothing."""
    packer = zlib.compressobj(9, wbits=31)
    first = packer.compress(bytes(16 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(16 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # leans on nothing before it
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(first + again * (TWO_GB // (16 << 20)))
    found = weighed(path)
    assert "decompression bomb" in found.error
    assert found.seconds < MOST_SECONDS and found.mebibytes < MOST_MEBIBYTES


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_a_record_of_a_megabyte_in_one_line_is_a_record(tmp_path: Path, ending: str) -> None:
    text = "".join(chr(0x4E00 + number % 20_000) for number in range(350_000))  # 3 bytes each
    items = [{"q": text, "a": "y"}, *rows(1)]
    path = tmp_path / f"long.{ending}"
    data = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items).encode()
    assert len(data) > 1 << 20
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(items), path)
    else:
        packed = {"jsonl": data, "jsonl.gz": gzip.compress(data), "jsonl.zst": pa.compress(data, "zstd", asbytes=True)}
        path.write_bytes(packed[ending])
    corpus = read(path)
    assert [len(record.prompt) for record in corpus.records] == [350_000, len(rows(1)[0]["q"])]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, separator: str) -> None:
    """Others do in Python's own splitting; in JSON's texts they stand unescaped, or escaped as controls must be."""
    path = tmp_path / "data.jsonl"
    raw = separator if separator in "\u2028\u2029\x85" else json.dumps(separator)[1:-1]
    path.write_text(f'{{"q": "one{raw}two", "a": "y"}}\n', encoding="utf-8", newline="")
    (record,) = read(path).records
    assert record.prompt == f"one{separator}two"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp037"])
def test_other_encodings_are_bad_lines_not_other_texts(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(jsonl_bytes(rows(3)).decode().encode(encoding))
    with pytest.raises(DataError, match="no record"):
        read(path, max_bad_share=1.0)
    with pytest.raises(DataError, match=r"UTF-8|not JSON"):
        read(path)


class TestParquet:
    def test_a_footer_that_claims_more_rows_than_there_are(self, tmp_path: Path) -> None:
        """The count in the footer is a claim: changed to any other, the file is refused or reads as it is."""
        path = tmp_path / "claims.parquet"
        pq.write_table(pa.Table.from_pylist(rows(100)), path)
        whole = path.read_bytes()
        length = int.from_bytes(whole[-8:-4], "little")
        footer = whole[-8 - length : -8]
        changed = 0
        for place in range(len(footer) - 1):
            if footer[place : place + 2] == b"\xc8\x01":  # 100, as thrift writes it
                claim = footer[:place] + b"\xfe\x7f" + footer[place + 2 :]  # 8191
                path.write_bytes(whole[: -8 - length] + claim + whole[-8:])
                changed += 1
                try:
                    assert len(read(path).records) <= 100
                except DataError as error:
                    assert "no Parquet that can be read" in str(error)
        assert changed >= 2

    @pytest.mark.parametrize("length", [0, 1, 1 << 31, (1 << 32) - 1])
    def test_a_footer_of_another_length(self, tmp_path: Path, length: int) -> None:
        path = tmp_path / "footer.parquet"
        pq.write_table(pa.Table.from_pylist(rows(10)), path)
        path.write_bytes(path.read_bytes()[:-8] + length.to_bytes(4, "little") + b"PAR1")
        with pytest.raises(DataError, match="no Parquet that can be read"):
            read(path)

    @pytest.mark.parametrize(("depth", "said"), [(5, "not an object"), (60, "no Parquet that can be read")])
    def test_nested_columns_are_no_text(self, tmp_path: Path, depth: int, said: str) -> None:
        value: object = "x"
        for _ in range(depth):
            value = [value]
        path = tmp_path / "deep.parquet"
        pq.write_table(pa.Table.from_pylist([{"q": value, "a": "y"}]), path)
        with pytest.raises(DataError, match=said):
            read(path)

    def test_a_column_of_another_kind_is_named_not_guessed(self, tmp_path: Path) -> None:
        path = tmp_path / "kinds.parquet"
        pq.write_table(pa.table({"q": pa.array([{"x": 1}]), "a": ["y"]}), path)
        with pytest.raises(DataError, match="field 'q' is an object, not text"):
            read(path, FieldMap("q", "a"))

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.corpus.fields import FieldMap
from auditkit.corpus.identity import record_id
from auditkit.corpus.text import normalise
from auditkit.errors import DataError
from tests.corpus.helpers import QA, jsonl_bytes, read, rows, write


def test_a_corpus_knows_its_records_places_and_files(tmp_path: Path) -> None:
    corpus = read(write(tmp_path / "data.jsonl", rows(3)))
    assert [record.prompt for record in corpus.records] == ["question 0?", "question 1?", "question 2?"]
    assert [record.line for record in corpus.records] == [1, 2, 3]
    assert [record.index for record in corpus.records] == [0, 1, 2]
    assert {(record.file, record.dataset, record.split) for record in corpus.records} == {
        ("data.jsonl", "test", "member")
    }
    assert corpus.records[1].text == "question 1?\nanswer 1"
    assert list(corpus.file_digests) == ["data.jsonl"]
    assert (corpus.bad, corpus.bad_total, corpus.duplicates) == ((), 0, 0)


@pytest.mark.parametrize("name", ["data.jsonl.gz", "data.jsonl.zst", "data.parquet", "DATA.JSONL"])
def test_every_format_reads_as_plain_jsonl_does(tmp_path: Path, name: str) -> None:
    plain = read(write(tmp_path / "plain.jsonl", rows(700)))
    other = tmp_path / name
    if name == "DATA.JSONL":
        other.write_bytes((tmp_path / "plain.jsonl").read_bytes())
    else:
        write(other, rows(700))
    found = read(other)
    assert [(r.id, r.index, r.line) for r in found.records] == [(r.id, r.index, r.line) for r in plain.records]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda t: normalise(t)
)


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=8))
@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz", "r.jsonl.zst", "r.parquet"])
def test_any_text_survives_the_way_through_a_file(
    tmp_path_factory: pytest.TempPathFactory, name: str, pairs: list[tuple[str, str]]
) -> None:
    path = write(tmp_path_factory.mktemp("trip") / name, [{"q": q, "a": a} for q, a in pairs])
    corpus = read(path)
    assert [(r.prompt, r.response) for r in corpus.records] == [(normalise(q), normalise(a)) for q, a in pairs]


def test_exact_duplicates_are_kept_counted_and_told_apart(tmp_path: Path) -> None:
    corpus = read(write(tmp_path / "data.jsonl", [*rows(2), *rows(2), *rows(1)]))
    assert len(corpus.records) == 5
    assert corpus.duplicates == 3
    assert len({record.id for record in corpus.records}) == 5
    assert corpus.records[4].id == record_id("question 0?", "answer 0", "", 2)


def test_byte_order_mark_crlf_and_blank_lines_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    first, second = jsonl_bytes(rows(1)).strip(), jsonl_bytes(rows(1, start=1)).strip()
    path.write_bytes(b"\xef\xbb\xbf" + first + b"\r\n\r\n  \t\n" + second)
    corpus = read(path)
    assert [record.line for record in corpus.records] == [1, 4]
    assert corpus.bad_total == 0


BAD_LINES = {
    b"{not json": "not JSON",
    b'{"q": "x", "a": "y"} trailing': "not JSON",
    b'["q", "a"]': "not an object but a list",
    b'"text"': "not an object but text",
    b"null": "not an object but null",
    b'{"q": "x"}': "missing field 'a'",
    b'{"Q": "x", "a": "y"}': "missing field 'q'",
    b'{"q": "", "a": "y"}': "empty field 'q'",
    b'{"q": "x", "a": " \\n "}': "empty field 'a'",
    b'{"q": null, "a": "y"}': "empty field 'q'",
    b'{"q": 7, "a": "y"}': "field 'q' is a number, not text",
    b'{"q": true, "a": "y"}': "field 'q' is a boolean, not text",
    b'{"q": "x", "a": true}': "field 'a' is a boolean, not text",
    b'{"q": "x", "a": ["y"]}': "field 'a' is a list, not text",
    b'{"q": "x", "a": {"y": 1}}': "field 'a' is an object, not text",
    b'{"q": "\xff", "a": "y"}': "bad UTF-8 at byte 8",
    b'{"q": "\xed\xa0\x80", "a": "y"}': "bad UTF-8 at byte 8",
    b'{"q": "\\ud800", "a": "y"}': "lone surrogate in field 'q'",
    b'{"q": "a\\u0000b", "a": "y"}': "NUL character in field 'q'",
    b'{"q": "x", "a": NaN}': "not JSON: NaN or infinity",
    b'{"q": "x", "a": -Infinity}': "not JSON: NaN or infinity",
    b'{"q": "x", "a": 1e999}': "field 'a' is not a finite number",
    b'{"q": "x", "a": ' + b"9" * 5000 + b"}": "a number of too many digits",
    b'{"q": "x", "a": "y", "a": "z"}': "a key twice",
    b'{"q": "x", "a": "y", "deep": {"k": 1, "k": 2}}': "a key twice",
    b'{"q": "x", "a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}": "nested too deeply",
    b"[" * 200_000: "nested too deeply",
    b'{"q": "' + b"x" * 900_000 + b'", "a": "y"}': "over-long: more than 500,000 bytes",
    b'{"q": "a' + "\u0316\u0301".encode() * 100_000 + b'", "a": "y"}': "combining marks in a row",
    b'{"q": "a' + "\u0f73".encode() * 100_000 + b'", "a": "y"}': "combining marks in a row",
}


def test_every_kind_of_bad_line_is_listed_with_its_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    good = b'{"q": "x", "a": "y"}'
    path.write_bytes(b"\n".join([good, *BAD_LINES, good]))
    corpus = read(path, max_bad_share=1.0, max_line_bytes=500_000)
    assert [bad.line for bad in corpus.bad] == list(range(2, len(BAD_LINES) + 2))
    for bad, reason in zip(corpus.bad, BAD_LINES.values(), strict=True):
        assert reason in bad.reason, bad
    assert corpus.bad_total == len(BAD_LINES)
    assert [record.line for record in corpus.records] == [1, len(BAD_LINES) + 2]


def test_a_missing_field_names_the_nearest_one(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", [{"questions": "x"}])
    assert reasons_of_error(path, FieldMap("question"))[0] == "missing field 'question' (did you mean 'questions'?)"


def reasons_of_error(path: Path, fields: FieldMap = QA, **options: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        read(path, fields, **options)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(("value", "text"), [(34, "34"), (-2.5, "-2.5"), (10**400, "1" + "0" * 400)])
def test_a_response_may_be_a_number(tmp_path: Path, value: float, text: str) -> None:
    assert read(write(tmp_path / "data.jsonl", [{"q": "x", "a": value}])).records[0].response == text


def test_the_share_of_bad_lines_decides(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", [*rows(9), {"q": "secret words of the data"}])
    assert read(path, max_bad_share=0.1).bad_total == 1
    with pytest.raises(DataError) as caught:
        read(path, max_bad_share=0.09)
    first, summary = caught.value.problems
    assert (first.file, first.line, first.message) == (path, 10, "missing field 'a'")
    assert "1 of 10 rows are no record (10.00%)" in summary.message
    assert "secret words" not in str(caught.value)


def test_a_flood_of_bad_lines_is_counted_whole_and_listed_in_part(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"{}\n" * 5000 + jsonl_bytes(rows(1)))
    corpus = read(path, max_bad_share=1.0)
    assert (len(corpus.bad), corpus.bad_total) == (1000, 5000)
    messages = reasons_of_error(path)
    assert len(messages) == 21
    assert messages[-1].startswith("and 4,980 more: 5,000 of 5,001 rows are no record")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{}\n"])
def test_a_corpus_without_a_record_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    assert reasons_of_error(path, max_bad_share=1.0) == ["dataset 'test' has no record"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [  # a bit that flips in a zstd frame without a checksum is beyond anybody's notice, short of the file's digest
        ("data.jsonl.gz", "cut"),
        ("data.jsonl.gz", "garbage"),
        ("data.jsonl.gz", "flipped"),
        ("data.jsonl.zst", "cut"),
        ("data.jsonl.zst", "garbage"),
    ],
)
def test_damaged_compressed_files_are_errors_not_short_corpora(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / name
    noise = [{"q": os.urandom(200).hex(), "a": "x"} for _ in range(500)]
    whole = bytearray(write(path, noise).read_bytes())
    if damage == "flipped":
        whole[len(whole) // 2] ^= 0xFF
    damaged = {"cut": whole[: len(whole) // 2], "garbage": bytearray(b"garbage" * 20), "flipped": whole}
    path.write_bytes(damaged[damage])
    (message,) = reasons_of_error(path, max_bad_share=1.0)
    assert "cannot be read past line" in message


def test_members_of_a_concatenated_archive_are_all_read(tmp_path: Path) -> None:
    for name in ("data.jsonl.gz", "data.jsonl.zst"):
        first = write(tmp_path / "one" / name, rows(2)).read_bytes()
        second = write(tmp_path / "two" / name, rows(2, start=2)).read_bytes()
        (tmp_path / name).write_bytes(first + second)
        assert len(read(tmp_path / name).records) == 4


@pytest.mark.slow
def test_a_line_of_half_a_gigabyte_is_one_bad_line_and_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.jsonl"
    with path.open("wb") as file:
        file.write(jsonl_bytes(rows(1)))
        file.truncate(512 << 20)  # a hole: NUL characters that take no room on the disk
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + jsonl_bytes(rows(1, start=1)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    corpus = read(path, max_bad_share=1.0)
    assert [(bad.line, bad.reason.split(":")[0]) for bad in corpus.bad] == [(2, "over-long")]
    assert [record.line for record in corpus.records] == [1, 3]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


@pytest.mark.parametrize("name", ["bomb.jsonl.gz", "bomb.jsonl.zst"])
def test_decompression_bombs_are_refused(tmp_path: Path, name: str) -> None:
    part = pa.compress(b"x" * (1 << 20), codec="gzip" if name.endswith(".gz") else "zstd", asbytes=True)
    path = tmp_path / name
    path.write_bytes(part * 300)
    (message,) = reasons_of_error(path, max_bad_share=1.0)
    assert "decompression bomb" in message


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_longest_line_that_is_allowed_is_read(tmp_path: Path, end: bytes) -> None:
    line = json.dumps({"q": "x" * 100, "a": "y"}).encode()
    path = tmp_path / "data.jsonl"
    path.write_bytes(jsonl_bytes(rows(1)) + line + end)
    assert len(read(path, max_line_bytes=len(line)).records) == 2
    corpus = read(path, max_line_bytes=len(line) - 1, max_bad_share=0.5)
    assert [(bad.line, bad.reason) for bad in corpus.bad] == [(2, f"over-long: more than {len(line) - 1} bytes")]

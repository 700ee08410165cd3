"""Files of records for the tests of the corpus room."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from auditkit.corpus.base import Corpus
from auditkit.corpus.fields import FieldMap
from auditkit.corpus.read import read_corpus

QA = FieldMap(prompt="q", response="a")


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Different prompt/response rows."""
    return [{"q": f"question {number}?", "a": f"answer {number}"} for number in range(start, start + count)]


def jsonl_bytes(items: Iterable[Any]) -> bytes:
    """One JSON value a line."""
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def write(path: Path, items: list[dict[str, Any]]) -> Path:
    """The rows in the format that the path's ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = jsonl_bytes(items)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(items), path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(data))
    elif path.suffix == ".zst":
        path.write_bytes(pa.compress(data, codec="zstd", asbytes=True))
    else:
        path.write_bytes(data)
    return path


def read(path: Path | str, fields: FieldMap = QA, **options: Any) -> Corpus:
    """The members of a test dataset."""
    return read_corpus(str(path), fields, dataset="test", split="member", **options)


def read_rows(folder: Path, items: list[dict[str, Any]], fields: FieldMap = QA, **options: Any) -> Corpus:
    """What becomes of these rows, written as JSONL."""
    return read(write(folder / "rows.jsonl", items), fields, **options)

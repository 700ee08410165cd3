"""Reading a corpus: every shard, every row, each a record or a bad line with its place and reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from auditkit.corpus.base import BadLine, Corpus
from auditkit.corpus.fields import FieldMap, TraceMarkers
from auditkit.corpus.identity import content_digest, numbered_id
from auditkit.corpus.jsonl import read_jsonl
from auditkit.corpus.lines import open_text
from auditkit.corpus.parquet import read_parquet
from auditkit.corpus.shapes import Row, RowReader
from auditkit.corpus.shards import HUB, Shard, find_shards
from auditkit.corpus.unreadable import BadRowError, UnreadableFileError
from auditkit.errors import DataError, Problem
from auditkit.records import Record, Split

MAX_LINE_BYTES = 16 << 20
READ_AHEAD = 1 << 20
MAX_BAD_KEPT = 1000
MAX_BAD_SHOWN = 20


def read_corpus(
    path: str,
    fields: FieldMap,
    *,
    dataset: str,
    split: Split,
    max_bad_share: float = 0.0,
    trace: TraceMarkers | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Corpus:
    """The records of a file, a folder of shards or a pinned hub dataset, in the order of file names and lines.

    Blank lines are no rows. Exact duplicates are kept and counted. A line of more than ``max_line_bytes`` (for
    Parquet, a cell) is a bad line, and is skipped without being held in memory.

    Raises:
        DataError: nothing to read, a damaged file, no record at all, or a share of bad rows above
            ``max_bad_share``; each with file and line, never with a word of the data.
    """
    reading = _Reading(dataset, split)
    rows = RowReader(fields, trace)
    shards = find_shards(path)
    for shard in shards:
        _read_shard(shard, rows, max_line_bytes, reading)
    corpus = reading.corpus()
    place = Path(path.removeprefix(HUB))
    _check_bad_share(corpus, max_bad_share, place, {shard.name: shard.path for shard in shards})
    if not corpus.records:
        hint = "give a file with at least one record"
        raise DataError([Problem(place, None, f"dataset {dataset!r} has no record", hint)])
    return corpus


@dataclass
class _Reading:
    """The corpus in the making."""

    dataset: str
    split: Split
    records: list[Record] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)
    bad_total: int = 0
    copies: dict[bytes, int] = field(default_factory=dict)  # content digest -> records with it
    file_digests: dict[str, str] = field(default_factory=dict)

    def add(self, rows: RowReader, row: Row, file: str, line: int) -> None:
        """Append the record of a row.

        Raises:
            BadRowError: the row is none.
        """
        texts = rows.read(row)
        digest = content_digest(texts.prompt, texts.response, texts.rejected)
        ordinal = self.copies.get(digest, 0)
        self.copies[digest] = ordinal + 1
        place = (self.dataset, self.split, len(self.records), numbered_id(digest, ordinal))
        content = (texts.prompt, texts.response, texts.rejected)
        self.records.append(Record(*place, *content, file, line, texts.turns, texts.tags))

    def reject(self, file: str, line: int, reason: str) -> None:
        """Count a bad row, and list it while the list is not full."""
        self.bad_total += 1
        if len(self.bad) < MAX_BAD_KEPT:
            self.bad.append(BadLine(file, line, reason))

    def corpus(self) -> Corpus:
        """What was read so far."""
        duplicates = len(self.records) - len(self.copies)
        records, bad = tuple(self.records), tuple(self.bad)
        return Corpus(self.dataset, self.split, records, bad, duplicates, self.file_digests, self.bad_total)


def _read_shard(shard: Shard, rows: RowReader, max_bytes: int, reading: _Reading) -> None:
    try:
        with BufferedReader(shard.path.open("rb", buffering=0), READ_AHEAD) as handle:
            # One handle for both, so that what is read is what the digest is of.
            reading.file_digests[shard.name] = hashlib.file_digest(handle, "sha256").hexdigest()
            size = handle.tell()
            handle.seek(0)
            for line, row in _shard_rows(shard.name.lower(), handle, size, rows.fields, max_bytes):
                _take(reading, rows, row, shard.name, line)
    except UnreadableFileError as error:
        raise DataError([Problem(shard.path, None, error.message, error.hint)]) from error
    except OSError as error:
        hint = "let the user who runs the audit read it"
        raise DataError([Problem(shard.path, None, error.strerror or "cannot be read", hint)]) from error


def _shard_rows(
    name: str, handle: BinaryIO, size: int, fields: FieldMap, max_bytes: int
) -> Iterator[tuple[int, Row | BadRowError]]:
    if name.endswith(".parquet"):
        return read_parquet(handle, fields.names, size, max_bytes)
    return read_jsonl(open_text(handle, name, size), max_bytes)


def _take(reading: _Reading, rows: RowReader, row: Row | BadRowError, file: str, line: int) -> None:
    if isinstance(row, BadRowError):
        reading.reject(file, line, row.reason)
        return
    try:
        reading.add(rows, row, file, line)
    except BadRowError as error:
        reading.reject(file, line, error.reason)


def _check_bad_share(corpus: Corpus, accepted: float, place: Path, paths: dict[str, Path]) -> None:
    total = len(corpus.records) + corpus.bad_total
    if corpus.bad_total <= accepted * total:
        return
    shown = corpus.bad[:MAX_BAD_SHOWN]
    problems = [Problem(paths[bad.file], bad.line, bad.reason) for bad in shown]
    more = f"and {corpus.bad_total - len(shown):,} more: " if corpus.bad_total > len(shown) else ""
    share = f"{corpus.bad_total:,} of {total:,} rows are no record ({corpus.bad_total / total:.2%})"
    summary = f"{more}{share}; dataset {corpus.dataset!r} accepts {accepted:.2%}"
    hint = "mend these lines, check the declared fields, or raise max_bad_share"
    raise DataError([*problems, Problem(place, None, summary, hint)])

"""Parquet rows, streamed in batches: only the declared columns, and no more memory than the file can justify."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, BinaryIO

from auditkit.corpus.lines import expansion_error, expansion_limit
from auditkit.corpus.shapes import Row
from auditkit.corpus.unreadable import BadRowError, UnreadableFileError

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch
    from pyarrow.parquet import ColumnChunkMetaData, ParquetFile

_DICTIONARY_PAGE = 2
_NEXT_FIELD_I32 = b"\x15"
_BATCH_ROWS = 256
_BATCH_BYTES = 256 << 20  # what one batch may take at worst, every cell as long as its row group allows


def read_parquet(
    handle: BinaryIO, fields: Sequence[str], size: int, max_cell_bytes: int
) -> Iterator[tuple[int, Row | BadRowError]]:
    """(row number from 1, row or why it is none) of each row of a file of ``size`` bytes.

    Raises:
        UnreadableFileError: no Parquet, damaged, a declared column missing, or a decompression bomb.
    """
    import pyarrow as pa

    number = 0
    try:
        for batch in _batches(handle, fields, size):
            for row in _rows(batch):
                number += 1
                yield number, _long_cell(row, max_cell_bytes) or row
    except (OSError, ValueError, OverflowError, RecursionError, pa.ArrowException) as error:
        raise UnreadableFileError(f"is no Parquet that can be read past row {number}") from error


def _batches(handle: BinaryIO, fields: Sequence[str], size: int) -> Iterator[RecordBatch]:
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(handle)
    columns = _columns(file.schema_arrow.names, fields)
    limit, given = expansion_limit(size), 0
    chunks = list(_chunks(file, set(columns)))
    if sum(chunk.total_uncompressed_size for chunk in chunks) > limit:
        raise expansion_error()
    # A dictionary page holds a text once, however often the rows repeat it: no such cell is longer than its page.
    longest = max((dictionary_bytes(handle, chunk) for chunk in chunks), default=0)
    rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(longest, 1)))
    for packed in file.iter_batches(batch_size=rows, columns=columns):
        batch = _without_dictionaries(packed)
        given += batch.nbytes
        if given > limit:
            raise expansion_error()
        yield batch


def _without_dictionaries(batch: RecordBatch) -> RecordBatch:
    """The batch with every text written out, so that its size tells what it is."""
    import pyarrow as pa

    plain = pa.schema([pa.field(field.name, _plain_type(field.type)) for field in batch.schema])
    return batch if plain.types == batch.schema.types else batch.cast(plain)


def _plain_type(kind: DataType) -> DataType:
    from pyarrow import list_, struct, types

    if types.is_dictionary(kind):
        return kind.value_type
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return list_(_plain_type(kind.value_type))
    if types.is_struct(kind):
        return struct([(field.name, _plain_type(field.type)) for field in kind])
    return kind


def _columns(there: Sequence[str], fields: Sequence[str]) -> list[str]:
    """The top-level columns that the declared fields (names or dotted paths) lie in."""
    columns = [field if field in there else field.split(".")[0] for field in fields]
    for column in columns:
        if column not in there:
            close = get_close_matches(column, there, n=1)
            nearest = f"did you mean {close[0]!r}? " if close else ""
            raise UnreadableFileError(
                f"has no column {column!r}", f"{nearest}the columns are: {', '.join(map(repr, there[:20]))}"
            )
    return list(dict.fromkeys(columns))


def _chunks(file: ParquetFile, columns: set[str]) -> Iterator[ColumnChunkMetaData]:
    """The column chunks of every row group that are read."""
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        for place in range(group.num_columns):
            chunk = group.column(place)
            if not columns.isdisjoint((chunk.path_in_schema, chunk.path_in_schema.split(".")[0])):
                yield chunk


def dictionary_bytes(handle: BinaryIO, chunk: ColumnChunkMetaData) -> int:
    """Uncompressed size of a chunk's dictionary page, 0 where its first page is none.

    Read off the page header, a Thrift compact struct that begins with the fields type and uncompressed_page_size;
    a header that is anything else counts as the whole chunk.
    """
    first = chunk.dictionary_page_offset if chunk.has_dictionary_page else None
    handle.seek(min(filter(None, (first, chunk.data_page_offset))))
    page_type, rest = _thrift_number(handle.read(16))
    size, _ = _thrift_number(rest)
    if page_type is None or size is None or size < 0:
        return int(chunk.total_uncompressed_size)
    return size if page_type == _DICTIONARY_PAGE else 0


def _thrift_number(header: bytes) -> tuple[int | None, bytes]:
    """The 32-bit field that a Thrift compact struct goes on with, and what follows it; None where it does not."""
    if header[:1] != _NEXT_FIELD_I32:
        return None, b""
    value = 0
    for place, byte in enumerate(header[1:]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value >> 1 ^ -(value & 1), header[place + 2 :]  # zigzag: the sign is the lowest bit
    return None, b""


def _rows(batch: RecordBatch) -> Iterator[Row | BadRowError]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:  # one bad row spoils its batch: take the rows one by one
        for place in range(batch.num_rows):
            yield _one_row(batch.slice(place, 1))


def _one_row(batch: RecordBatch) -> Row | BadRowError:
    try:
        row: Row = batch.to_pylist()[0]
    except UnicodeDecodeError:
        return BadRowError("bad UTF-8")
    return row


def _long_cell(row: Row | BadRowError, max_bytes: int) -> BadRowError | None:
    if isinstance(row, BadRowError):
        return None
    for cell in row.values():
        if isinstance(cell, str | bytes) and _byte_length(cell) > max_bytes:
            return BadRowError(f"over-long: more than {max_bytes:,} bytes in a cell")
    return None


def _byte_length(cell: str | bytes) -> int:
    return len(cell) if isinstance(cell, bytes) or cell.isascii() else len(cell.encode())

"""Generations on disk: one Parquet part a sampling request, merged when an attack is complete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auditkit.auditing.blinding import blinded_schema
from auditkit.files import replacing
from auditkit.records import Generation, Prefix, SamplingRequest
from auditkit.report.base import PrefixInfo

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 4096


def part_file(work: Path, request: SamplingRequest) -> Path:
    """Where the samples of one request are kept until the attack is complete."""
    return work / f"generations-{request.attack}-{request.first_ordinal:09d}.parquet"


def write_part(path: Path, generations: list[Generation]) -> None:
    """Write one request's samples, whole or not at all."""
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(_table(generations), temporary, compression="zstd")


def merge(
    parts: list[Path], target: Path, attack: str, prefixes: list[Prefix], tell: Callable[[int], None] = lambda _: None
) -> None:
    """All parts in order as one file that also says which literal prefixes were used; then the parts go.

    ``tell`` hears how many more parts are in the file.
    """
    import pyarrow.parquet as pq

    told = {"attack": attack, "prefixes": json.dumps([vars_of(p) for p in prefixes])}
    schema = blinded_schema(_schema().with_metadata(told))
    with replacing(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for table in _row_groups(parts, tell):
            writer.write_table(table.cast(schema))
    for part in parts:
        part.unlink()


def _row_groups(parts: list[Path], tell: Callable[[int], None]) -> Iterator[pa.Table]:
    """The parts in order, small ones put together: what a file says of each of its row groups is held in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting: list[pa.Table] = []
    for part in parts:
        waiting.append(pq.read_table(part))
        if sum(map(len, waiting)) >= BATCH:
            yield pa.concat_tables(waiting)
            tell(len(waiting))
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
        tell(len(waiting))


def vars_of(prefix: Prefix) -> dict[str, Any]:
    """A prefix with its digest, as the report prints it."""
    return PrefixInfo(
        name=prefix.name,
        text=prefix.text,
        token_ids=list(prefix.token_ids),
        sha256=hashlib.sha256(prefix.text.encode("utf-8", "surrogatepass")).hexdigest(),
        note=prefix.note,
    ).model_dump()


def prefixes_of(path: Path) -> list[PrefixInfo]:
    """The literal prefixes behind a file of generations."""
    import pyarrow.parquet as pq

    return [PrefixInfo(**found) for found in json.loads(pq.read_schema(path).metadata[b"prefixes"])]


def read(
    path: Path, batch: int = BATCH, only: Collection[int] | None = None, *, tokens: bool = True
) -> Iterator[list[Generation]]:
    """The generations of an attack in ordinal order, at most ``batch`` at a time; ``only``: those of these ordinals.

    What is not wanted is dropped before Python sees it: its tokens would cost far more than the reading. Where only
    texts matter, ``tokens`` False leaves ``token_ids`` empty.
    """
    import pyarrow.parquet as pq

    wanted = None if only is None else np.unique(np.fromiter(only, np.int64, len(only)))
    columns = [name for name in _schema().names if tokens or name != "token_ids"]
    with pq.ParquetFile(path) as file:
        attack = file.schema_arrow.metadata[b"attack"].decode()
        groups = list(range(file.num_row_groups)) if wanted is None else _holding(file, wanted)
        for table in file.iter_batches(batch_size=batch, row_groups=groups, columns=columns) if groups else ():
            kept = table if wanted is None else table.filter(_among(table["ordinal"], wanted))
            yield [_generation(attack, row) for row in kept.to_pylist()]


def _holding(file: Any, wanted: npt.NDArray[np.int64]) -> list[int]:
    """The row groups that can hold some of these ordinals, by what the file says of each."""
    place = _schema().names.index("ordinal")  # behind no list, so that it is the same place among the stored columns
    found = []
    for group in range(file.num_row_groups):
        known = file.metadata.row_group(group).column(place).statistics
        if known is None or np.searchsorted(wanted, known.min) < np.searchsorted(wanted, known.max, side="right"):
            found.append(group)
    return found


def _among(ordinals: pa.Array, wanted: npt.NDArray[np.int64]) -> pa.Array:
    """Which of the ordinals are wanted."""
    import pyarrow as pa

    return pa.array(np.isin(ordinals.to_numpy(), wanted))


def _generation(attack: str, row: dict[str, Any]) -> Generation:
    return Generation(
        **{**row, "attack": attack, "turns": tuple(row["turns"]), "token_ids": tuple(row.get("token_ids", ()))}
    )


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        {
            "prefix": pa.string(),
            "ordinal": pa.int64(),
            "seed": pa.int64(),
            "turns": pa.list_(pa.string()),
            "token_ids": pa.list_(pa.int32()),
            "finish": pa.string(),
            "turn_change": pa.string(),
        }
    )


def _table(generations: list[Generation]) -> pa.Table:
    import pyarrow as pa

    schema = _schema()
    return pa.table({name: [getattr(g, name) for g in generations] for name in schema.names}, schema=schema)

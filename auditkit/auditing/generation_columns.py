"""What stages ask of all generations at once, column by column: of a million, no object is made in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from auditkit.records import View

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 1 << 14

Ordinals = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def ordinals_and_complete(path: Path, view: View) -> Iterator[tuple[Ordinals, Flags]]:
    """Of each generation its ordinal, and whether this view of it is whole (see ``Generation.complete``)."""
    for table in _batches(path, "ordinal", "finish", "turn_change"):
        whole = _among(table["finish"], "stop", "blocked")
        if view == "prompt":
            changed = ~_among(table["turn_change"], "none")
            whole |= changed & ~_among(table["finish"], "empty", "failed")
        yield table["ordinal"].to_numpy(), whole


def counted(path: Path) -> tuple[Counter[str], Counter[str], int]:
    """How the generations of an attack finished, how their turns changed, and how many tokens they are in all."""
    import pyarrow.compute as pc

    finished: Counter[str] = Counter()
    turn_changes: Counter[str] = Counter()
    tokens = 0
    for table in _batches(path, "finish", "turn_change", "token_ids"):
        finished.update(table["finish"].to_pylist())
        turn_changes.update(table["turn_change"].to_pylist())
        tokens += pc.sum(pc.list_value_length(table["token_ids"])).as_py() or 0
    return finished, turn_changes, tokens


def _batches(path: Path, *columns: str) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=ROWS, columns=list(columns))


def _among(column: pa.Array, *values: str) -> Flags:
    """(n,) which of a column's strings are one of these."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: Flags = pc.is_in(column, pa.array(values, pa.string())).to_numpy(zero_copy_only=False)
    return found

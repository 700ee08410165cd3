"""One attack against one view of one dataset: the best match of every generation, and what was hit, on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.auditing.blinding import blinded_schema
from auditkit.auditing.context import Context
from auditkit.auditing.generation_columns import ordinals_and_complete
from auditkit.auditing.nearest import Nearest, SideIndexes, stored_nearest
from auditkit.auditing.run_folder import RunFolder
from auditkit.auditing.sides import Sides
from auditkit.auditing.string_matches import Columns, StringMatching
from auditkit.files import replacing
from auditkit.records import View
from auditkit.scoring.base import IndexUse, Scores, Vectors

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

COLUMNS = {
    "ordinal": "int64",
    "complete": "bool",
    "record": "int64",
    "score": "float32",
    "control": "int64",
    "control_score": "float32",
    "levenshtein_record": "int64",
    "levenshtein": "float64",
    "indel_record": "int64",
    "indel": "float64",
}


@dataclass(frozen=True)
class AttackMatches:
    """The best match of every generation of an attack in one view of one dataset; all arrays are (n,).

    ``record`` is the nearest member by embedding and ``score`` its cosine; ``control`` and ``control_score`` the same
    among the evaluation controls (positions in the corpus of controls). ``levenshtein`` and ``indel`` are 0, and their
    record -1, under the policy's floor. ``complete`` tells generations that reached the end of this view.
    """

    attack: str
    dataset: str
    view: View
    ordinal: Integers
    complete: npt.NDArray[np.bool_]
    record: Integers
    score: Scores
    control: Integers
    control_score: Scores
    levenshtein_record: Integers
    levenshtein: Floats
    indel_record: Integers
    indel: Floats
    index: IndexUse

    @property
    def unscored(self) -> int:
        """Generations whose end was not seen."""
        return int((~self.complete).sum())

    @property
    def unscored_share(self) -> float:
        """The share of generations whose end was not seen; 1 where there are none."""
        return self.unscored / len(self.complete) if len(self.complete) else 1.0


def match_attack(  # noqa: PLR0917 - what is searched, for what, and how
    context: Context,
    attack: str,
    indexes: SideIndexes,
    queries: Vectors,
    threshold: float | None,
    strings: StringMatching,
) -> AttackMatches:
    """Match what is not yet matched, and read it back; what was reached at the threshold is written on the way."""
    sides = indexes.sides
    path = context.run.matches_file(attack, sides.dataset.name, sides.view)
    if not path.exists():
        nearest = stored_nearest(context, attack, indexes, queries, threshold)
        _write(path, context.run, sides, nearest, (attack, strings.columns(attack, sides.dataset, sides.view)))
    return _read(path, attack, sides.dataset.name, sides.view)


def _write(path: Path, run: RunFolder, sides: Sides, nearest: Nearest, found: tuple[str, Columns]) -> None:
    """What vectors and strings found, beside each other, a batch of generations at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    attack, by_strings = found
    by_vectors = {name: getattr(nearest, name) for name in ("record", "score", "control", "control_score")}
    told = {"index": json.dumps(asdict(nearest.index))}
    schema = blinded_schema(pa.schema(_arrow_types()).with_metadata(told))
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        start = 0
        for ordinals, complete in ordinals_and_complete(run.generations_file(attack), sides.view):
            columns: dict[str, Any] = {"ordinal": ordinals, "complete": complete}
            rows = slice(start, start := start + len(ordinals))
            columns |= {name: column[rows] for name, column in (by_vectors | by_strings).items()}
            writer.write_table(pa.table(columns, schema=schema))


def _arrow_types() -> dict[str, Any]:
    import pyarrow as pa

    kinds = {"int64": pa.int64(), "float32": pa.float32(), "float64": pa.float64(), "bool": pa.bool_()}
    return {name: kinds[kind] for name, kind in COLUMNS.items()}


def _read(path: Path, attack: str, dataset: str, view: View) -> AttackMatches:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    arrays = {name: table[name].to_numpy() for name in COLUMNS}
    use = IndexUse(**json.loads(table.schema.metadata[b"index"]))
    return AttackMatches(attack=attack, dataset=dataset, view=view, index=use, **arrays)

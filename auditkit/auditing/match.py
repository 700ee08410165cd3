"""One attack against one view of one dataset: the best match of every generation, and what was hit, on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.auditing import generations
from auditkit.auditing.context import Context
from auditkit.auditing.nearest import Nearest, SideIndexes, stored_nearest
from auditkit.auditing.run_folder import RunFolder
from auditkit.auditing.sides import Sides
from auditkit.files import replacing
from auditkit.records import Generation, View
from auditkit.scoring.base import IndexUse, Scores, Vectors
from auditkit.scoring.string_pairs import MEASURES
from auditkit.scoring.strings import StringIndex

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


def match_attack(
    context: Context, attack: str, indexes: SideIndexes, queries: Vectors, threshold: float | None
) -> AttackMatches:
    """Match what is not yet matched, and read it back; what was reached at the threshold is written on the way."""
    sides = indexes.sides
    path = context.run.matches_file(attack, sides.dataset.name, sides.view)
    if not path.exists():
        _write(path, context, attack, sides, stored_nearest(context, attack, indexes, queries, threshold))
    return _read(path, attack, sides.dataset.name, sides.view)


def _write(path: Path, context: Context, attack: str, sides: Sides, nearest: Nearest) -> None:
    """Nearest member and control by embedding are known; the strings, a batch of generations at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    by_vectors = {name: getattr(nearest, name) for name in ("record", "score", "control", "control_score")}
    strings = StringIndex(sides.dataset.members.texts(sides.view))
    schema = pa.schema(_arrow_types()).with_metadata({"index": json.dumps(asdict(nearest.index))})
    label = f"match {attack} with {sides.dataset.name}, {sides.view}"
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        context.progress.stage(label, len(nearest.record), "generations") as stage,
    ):
        for start, batch in _batches(context.run, attack):
            columns: dict[str, Any] = {
                "ordinal": [generation.ordinal for generation in batch],
                "complete": [generation.complete(sides.view) for generation in batch],
            }
            columns |= {name: column[start : start + len(batch)] for name, column in by_vectors.items()}
            columns |= _string_columns(strings, sides.dataset.seen_texts(batch, sides.view), context)
            writer.write_table(pa.table(columns, schema=schema))
            stage.advance(len(batch))


def _string_columns(strings: StringIndex, texts: list[str], context: Context) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for measure in MEASURES:
        found, similarity = strings.best(texts, measure, context.policy.scoring.string_floor)
        columns |= {f"{measure}_record": found, measure: similarity}
    return columns


def _arrow_types() -> dict[str, Any]:
    import pyarrow as pa

    kinds = {"int64": pa.int64(), "float32": pa.float32(), "float64": pa.float64(), "bool": pa.bool_()}
    return {name: kinds[kind] for name, kind in COLUMNS.items()}


def _batches(run: RunFolder, attack: str) -> Iterator[tuple[int, list[Generation]]]:
    start = 0
    for batch in generations.read(run.generations_file(attack)):
        yield start, batch
        start += len(batch)


def _read(path: Path, attack: str, dataset: str, view: View) -> AttackMatches:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    arrays = {name: table[name].to_numpy() for name in COLUMNS}
    use = IndexUse(**json.loads(table.schema.metadata[b"index"]))
    return AttackMatches(attack=attack, dataset=dataset, view=view, index=use, **arrays)

"""Peak memory of scoring 1M generations against 939,344 records, stage by stage; it must stay within 8 GiB."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auditkit.scoring.base import IndexChoice, Vectors
from auditkit.scoring.coverage import Coverage
from auditkit.scoring.vectors.exact_search import ExactSearch
from auditkit.scoring.vectors.hnsw_index import HnswIndex
from benchmarks.measure import Entry

RECORDS, GENERATIONS = 939_344, 1_000_000
LIMIT = 8 * 1024  # MiB
PER_GENERATION = 2 * (8 + 4) + 1  # bytes that are kept: record, score, control, control's score, complete
THRESHOLD = 0.9
BLOCK = 8192


@dataclass(frozen=True)
class Stage:
    """What one process does: all records where they fit a benchmark's time, and a slice of the generations."""

    name: str
    records: int
    generations: int
    width: int

    def measured(self) -> dict[str, float]:
        """MiB of a process of its own: before it began, and at most."""
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.scoring_memory", folder, json.dumps(vars(self))]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found


STAGES = (
    Stage("one pass", RECORDS, 2048, 384),
    Stage("one pass", RECORDS // 8, 2048, 3072),
    Stage("graph", RECORDS // 16, 4096, 384),
)


def within_8_gib(repeats: int = 1) -> list[Entry]:  # noqa: ARG001 - a peak is a peak
    """Each stage's peak as measured, and what it comes to for all records and generations."""
    return [_entry(stage, stage.measured()) for stage in STAGES]


def _entry(stage: Stage, found: dict[str, float]) -> Entry:
    """Derived: memory that grows with records is scaled to all of them, 25 bytes a generation are added."""
    base, peak = found["before_mib"], found["peak_mib"]
    growing = found["per_record_bytes"] * (RECORDS - stage.records) / 2**20
    full = peak + growing + PER_GENERATION * (GENERATIONS - stage.generations) / 2**20
    return Entry(
        name=f"scoring memory, {stage.name}, {stage.width} numbers",
        peer=f"the limit of {LIMIT:,} MiB, for {GENERATIONS:,} x {RECORDS:,}",
        n=stage.generations,
        ratio=round(LIMIT / full, 3),
        identical=full <= LIMIT,
        more={
            "records": stage.records,
            "peak_mib": round(peak),
            "program_mib": round(base),
            "derived_peak_mib": round(full),
            "vectors_mib": round(stage.records * stage.width * 4 / 2**20),
        },
    )


def _run(stage: Stage, folder: Path) -> dict[str, float]:
    records = _stored(folder / "records.npy", stage.records, stage.width, 1)
    generations = _stored(folder / "generations.npy", stage.generations, stage.width, 2)
    _warm_up()
    before = _peak()
    if stage.name == "graph":
        search = HnswIndex(kind="hnsw", ef=64).open(records, IndexChoice("hnsw")).search(generations, THRESHOLD)
        per_record = (_peak() - before) * 2**20 / stage.records
    else:
        search = ExactSearch(records, THRESHOLD)
        per_record = 8 * 9  # norms, scores and positions of the nearest, clusters, counts and first hits, flags
    cover = Coverage(records, np.arange(stage.records), THRESHOLD, subsample=stage.records // 10, search=search)
    for start in range(0, len(generations), BLOCK):
        cover.add(generations[start : start + BLOCK], start)
    cover.result()
    return {"before_mib": before, "peak_mib": _peak(), "per_record_bytes": per_record}


def _stored(path: Path, count: int, width: int, seed: int) -> Vectors:
    """Random unit rows on disk, mapped."""
    random = np.random.default_rng(seed)
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for rows in _blocks(count):
            block = random.standard_normal((rows, width), np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
            block.tofile(stream)
    mapped: Vectors = np.load(path, mmap_mode="r")
    return mapped


def _blocks(count: int) -> Iterator[int]:
    return (min(BLOCK, count - start) for start in range(0, count, BLOCK))


def _warm_up() -> None:
    """The program with all its loops, so that what follows is the data's."""
    few = np.eye(64, 64, dtype=np.float32)
    Coverage(few, np.arange(64), THRESHOLD).add(few, 0)


def _peak() -> float:
    """MiB that this process held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(_run(Stage(**json.loads(sys.argv[2])), Path(sys.argv[1]))))
    else:
        for entry in within_8_gib():
            print(entry)

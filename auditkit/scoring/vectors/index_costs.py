"""Exact or approximate: what either would take for this data on this machine, from small trials of both."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from auditkit.scoring.base import IndexChoice, Vectors
from auditkit.scoring.threads import blas_threads
from auditkit.scoring.vectors.memory import memory_limit

# Trials are made only where exact search might take longer than this, at a pace that any machine keeps.
PATIENCE_SECONDS, SLOWEST_PACE = 60.0, 2e10
WORTH_IT = 2.0  # times faster than exact search, or the records that are missed are not worth it
TRIAL_QUERIES, TRIAL_PRODUCTS = 1024, 5e9
TRIAL_ROWS, TRIAL_SECONDS = 8192, 0.7
TUNING_QUERIES = 8192  # at most, that are compared with everything, to measure the recall
M, EF_CONSTRUCTION, EF = 24, 80, 128  # of the trial
GROWTH = 0.35  # an insert or a query costs as rows ** 0.35: 2.4 times as much in 60,000 rows as in 5,000, as measured
MOST_OF_MEMORY = 0.5


@dataclass(frozen=True)
class Costs:
    """Seconds: of a multiplication in exact search, and of an insert and a query in a graph of ``rows`` rows."""

    multiplication: float
    insert: float
    query: float
    rows: int

    def exact(self, queries: int, records: int, width: int) -> float:
        """Seconds of an exact search."""
        return self.multiplication * queries * records * width

    def approximate(self, queries: int, records: int, width: int) -> float:
        """Seconds to build a graph, tune and search it; paths are longer, and memory slower, in a larger one."""
        growth: float = max(1.0, records / self.rows) ** GROWTH
        tuning = self.exact(min(queries, TUNING_QUERIES), records, width)
        return growth * (self.insert * records + self.query * queries) + tuning


def chosen_index(vectors: Vectors, queries: int) -> IndexChoice:
    """The kind of index for so many queries against these (m, d) vectors, and the reason in words."""
    records, width = vectors.shape
    if queries * records * width <= PATIENCE_SECONDS * SLOWEST_PACE:
        return IndexChoice("exact", "exact search takes under a minute")
    if find_spec("hnswlib") is None:
        return IndexChoice("exact", "hnswlib, which could be faster, is not installed")
    needed = graph_bytes(records, width)
    if needed > MOST_OF_MEMORY * memory_limit():
        return IndexChoice("exact", f"a graph would take {needed / 2**30:,.0f} GiB of memory, more than half of it")
    return cheaper(measured_costs(vectors), queries, records, width)


def cheaper(costs: Costs, queries: int, records: int, width: int) -> IndexChoice:
    """Exact search, unless an approximate one takes at most half the time."""
    exact, approximate = costs.exact(queries, records, width), costs.approximate(queries, records, width)
    times = f"exact search takes an estimated {_duration(exact)}, an approximate one {_duration(approximate)}"
    if exact < WORTH_IT * approximate:
        return IndexChoice("exact", f"{times}: too little is saved to miss anything for it")
    return IndexChoice("hnsw", times)


def graph_bytes(records: int, width: int) -> int:
    """Memory of a graph: its copy of the vectors, twice M links on the lowest level, and a little."""
    return records * (4 * width + 8 * M + 64)


def measured_costs(vectors: Vectors) -> Costs:
    """Trials on evenly spaced rows, about two seconds in all."""
    rows = np.linspace(0, len(vectors) - 1, min(TRIAL_ROWS, len(vectors))).astype(np.int64)
    sample = np.asarray(vectors[rows], np.float32)
    return Costs(_multiplication(sample), *_graph_steps(sample))


def _multiplication(sample: Vectors) -> float:
    from auditkit.scoring.vectors.device_search import WORTH_A_DEVICE, exact_search

    queries = sample[:TRIAL_QUERIES]
    some = sample[: max(1, int(TRIAL_PRODUCTS / (len(queries) * sample.shape[1])))]
    worth = int(WORTH_A_DEVICE)  # whoever asks has so much to do that a GPU, where there is one, will do it
    exact_search(sample[:2], worth).add(queries[:2])  # compiles the loops
    search = exact_search(some, worth)
    before = time.perf_counter()
    search.add(queries)
    return (time.perf_counter() - before) / (len(queries) * some.size)


def _graph_steps(sample: Vectors) -> tuple[float, float, int]:
    """Seconds of an insert, of a query, and the rows inserted in the time there is."""
    from auditkit.scoring.vectors.hnsw_graph import Graph, GraphShape

    graph = Graph.empty(len(sample), sample.shape[1], GraphShape(M, EF_CONSTRUCTION, 0), blas_threads())
    before, done = time.perf_counter(), 0
    while done < len(sample) and time.perf_counter() - before < TRIAL_SECONDS:
        rows = np.arange(done, min(done + 512, len(sample)))
        graph.insert(sample[rows], rows)
        done += len(rows)
    insert = (time.perf_counter() - before) / done
    before, asked = time.perf_counter(), sample[:: max(1, len(sample) // 512)]
    graph.neighbours(asked, 10, EF)
    return insert, (time.perf_counter() - before) / len(asked), done


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"

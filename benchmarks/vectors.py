"""Vector search against faiss, side by side: exact against IndexFlatIP, HNSW against IndexHNSWFlat at equal recall."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from auditkit.scoring.base import Index, IndexChoice, Scores, Vectors
from auditkit.scoring.coverage import Coverage
from auditkit.scoring.threads import blas_threads
from auditkit.scoring.vectors.exact_search import ExactSearch, exact_best
from auditkit.scoring.vectors.hnsw_index import HnswIndex
from auditkit.scoring.vectors.index_costs import measured_costs
from benchmarks.measure import Entry
from benchmarks.vector_data import Case, clustered, real

SIZE = 200_000
THRESHOLD = 0.9  # told anew or not; what an audit would calibrate
NEAR = THRESHOLD - 0.05
JUDGED = 4000  # queries whose recall is compared
FAISS_M, FAISS_EF_CONSTRUCTION = 32, 40  # what faiss takes by itself
FAISS_EFFORTS = (16, 32, 64, 128, 256, 512, 1024, 2048)
CLOSE = 1e-6  # float32 products of faiss against exact scores
WANTED = 0.999  # recall; more than that is nobody's aim


def vectors(repeats: int = 1, n: int = SIZE) -> list[Entry]:
    """All comparisons at n x n."""
    cases = [clustered(n), real(n)]
    _warm_up()
    found = [entry for case in cases for entry in (*exact(case, repeats), *approximate(case))]
    return [*found, break_even(cases[0])]


def exact(case: Case, repeats: int) -> list[Entry]:
    """The nearest record of each query, and all that an audit asks for in one pass, against faiss's one answer."""
    sides: dict[str, Callable[[], tuple[Index, Scores]]] = {
        "faiss": lambda: _faiss_flat(case),
        "ours": lambda: exact_best(case.queries, case.vectors),
        "one pass": lambda: _one_pass(case),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    values: dict[str, tuple[Index, Scores]] = {}
    for _ in range(repeats):
        for name, side in sides.items():
            before = time.perf_counter()
            values[name] = side()
            times[name].append(time.perf_counter() - before)
    seconds = {name: median(each) for name, each in times.items()}
    return [
        _entry(
            f"exact search, {title}, {case.name}",
            "faiss IndexFlatIP",
            case,
            seconds[name],
            seconds["faiss"],
            {"same_scores_as_peer": _agreement(values[name][1], values["faiss"][1])},
            identical=_agreement(values[name][1], values["faiss"][1]) == 1.0,
        )
        for name, title in (("ours", "best record"), ("one pass", "best record, best query and coverage"))
    ]


def approximate(case: Case) -> list[Entry]:
    """Build and search by a graph; faiss's effort is raised until its recall is ours, on the same near queries."""
    judged = case.queries[:JUDGED]
    truth = exact_best(judged, case.vectors)[1]
    near = truth >= NEAR
    before = time.perf_counter()
    search = HnswIndex(kind="hnsw").open(case.vectors, IndexChoice("hnsw")).search(case.queries, THRESHOLD)
    _, score = _added(search, case.queries)
    ours = time.perf_counter() - before
    recall = float(np.mean(score[: len(judged)][near] >= truth[near]))
    theirs = _faiss_graph(case, truth, near, recall)
    more = {
        "recall": round(recall, 5),
        "recall_of_peer": round(theirs.recall, 5),
        "near_queries": int(near.sum()),
        "ours": search.use.reason,
        "peer_ef": theirs.ef,
        "pair_recall": search.use.pair_recall,
    }
    return [
        _entry(
            f"HNSW, build and search, {case.name}",
            "faiss IndexHNSWFlat",
            case,
            ours,
            theirs.seconds,
            more,
            identical=min(recall, theirs.recall) >= WANTED - 0.001,
        )
    ]


def break_even(case: Case) -> Entry:
    """From how many queries on a graph over these records takes less than comparing all, as ``auto`` estimates it."""
    costs, (records, width) = measured_costs(case.vectors), case.vectors.shape
    sizes = np.unique(np.geomspace(1000, 1e8, 400).astype(int))
    wins = [int(q) for q in sizes if costs.approximate(q, records, width) < costs.exact(q, records, width)]
    more = {"break_even_queries": wins[0] if wins else None, "records": records, **vars(costs)}
    ratio = costs.exact(records, records, width) / costs.approximate(records, records, width)
    return Entry(
        "exact search / HNSW, estimated", "the other kind", records, round(ratio, 3), identical=False, more=more
    )


@dataclass(frozen=True)
class _Graph:
    seconds: float
    recall: float
    ef: int


def _faiss_flat(case: Case) -> tuple[Index, Scores]:
    index = _faiss().IndexFlatIP(case.vectors.shape[1])
    index.add(case.vectors)
    score, found = index.search(case.queries, 1)
    return found[:, 0], score[:, 0]


def _faiss_graph(case: Case, truth: Scores, near: np.ndarray[Any, Any], recall: float) -> _Graph:
    """Build and search at the least effort whose recall is at least ours; finding that effort is not timed."""
    faiss = _faiss()
    index = faiss.IndexHNSWFlat(case.vectors.shape[1], FAISS_M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = FAISS_EF_CONSTRUCTION
    before = time.perf_counter()
    index.add(case.vectors)
    built = time.perf_counter() - before
    reached, ef = 0.0, 0
    for ef in FAISS_EFFORTS:
        index.hnsw.efSearch = ef
        score = index.search(case.queries[: len(truth)][near], 1)[0][:, 0]
        reached = float(np.mean(score >= truth[near] - CLOSE))
        if reached >= min(recall, WANTED):
            break
    before = time.perf_counter()
    index.search(case.queries, 1)
    return _Graph(built + time.perf_counter() - before, reached, ef)


def _one_pass(case: Case) -> tuple[Index, Scores]:
    cover = Coverage(case.vectors, np.arange(len(case.vectors)), THRESHOLD)
    found = cover.add(case.queries, 0)
    cover.result()
    return found


def _added(search: Any, queries: Vectors) -> tuple[Index, Scores]:
    """With the hits asked for, as an audit does."""
    count = [0]

    def hits(rows: Index, _: Index) -> None:
        count[0] += len(rows)

    found: tuple[Index, Scores] = search.add(queries, hits)
    return found


def _agreement(ours: Scores, theirs: Scores) -> float:
    return round(float(np.mean(np.abs(ours - theirs) <= CLOSE)), 5)


def _entry(  # noqa: PLR0917
    name: str, peer: str, case: Case, ours: float, theirs: float, more: dict[str, Any], identical: bool
) -> Entry:
    more = {"records": len(case.vectors), "width": case.vectors.shape[1], "threads": blas_threads(), **more}
    return Entry(
        name, peer, len(case.queries), round(theirs / ours, 3), identical, round(ours, 2), round(theirs, 2), more
    )


def _faiss() -> Any:
    import faiss

    faiss.omp_set_num_threads(blas_threads())
    return faiss


def _warm_up() -> None:
    """Compile the loops."""
    few = clustered(500, 16)
    _one_pass(few)
    exact_best(few.queries, few.vectors)
    ExactSearch(few.vectors)
    _added(HnswIndex(kind="hnsw").open(few.vectors, IndexChoice("hnsw")).search(few.queries, 0.9), few.queries)


if __name__ == "__main__":
    import sys

    for entry in vectors(n=int(sys.argv[1]) if len(sys.argv) > 1 else SIZE):
        print(entry)

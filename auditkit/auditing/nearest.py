"""One attack's vectors against one view of one dataset, each pair once: best matches, and what was reached."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auditkit.auditing.context import Context
from auditkit.auditing.cover import SideCoverage, write_coverage
from auditkit.auditing.generation_columns import ordinals_and_complete
from auditkit.auditing.progress import single
from auditkit.auditing.search_elsewhere import searched_elsewhere
from auditkit.auditing.sides import Sides
from auditkit.auditing.vectors import BLOCK
from auditkit.files import replacing, write_bytes
from auditkit.scoring.base import Index, IndexChoice, IndexStore, IndexUse, Scores, Search, VectorIndex, Vectors
from auditkit.scoring.coverage import Coverage

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Nearest:
    """For each generation of an attack its nearest member and evaluation control; all arrays are (n,)."""

    record: Index
    score: Scores
    control: Index
    control_score: Scores
    index: IndexUse


class SideIndexes:
    """The policy's index over the members, and over the evaluation controls, of one view of one dataset.

    Opened when first asked for, then kept for every attack: a graph takes long to build.
    """

    def __init__(self, context: Context, sides: Sides) -> None:
        self._context, self.sides = context, sides

    @cached_property
    def members(self) -> VectorIndex:
        """Over the members."""
        return self._opened("members", self.sides.members)

    @cached_property
    def controls(self) -> VectorIndex:
        """Over the evaluation controls."""
        return self._opened("controls", self.sides.evaluation)

    def search(self, side: str, attack: str, queries: Vectors, threshold: float | None) -> Search:
        """Begin to search one side for an attack's vectors: by workers where the search is exact, else here."""
        vectors = self.sides.members if side == "members" else self.sides.evaluation
        choice = self._choice(side, vectors)
        workers = self._context.workers("score") if choice.kind == "exact" else None
        kept = self._context.run.work / f"search-{attack}+{self.sides.dataset.name}+{self.sides.view}+{side}"
        far = workers and searched_elsewhere(
            workers, vectors, queries, threshold, kept, choice.reason, self._context.progress
        )
        if far:
            return far
        return (self.members if side == "members" else self.controls).search(queries, threshold)

    def _opened(self, side: str, vectors: Vectors) -> VectorIndex:
        scoring = self._context.policy.scoring
        # A graph holds every vector: where none may be kept between audits, no graph may either.
        store = IndexStore(index_folder(self._context), self._context.secret) if scoring.cache else None
        what = f"index {side} of {self.sides.dataset.name}, {self.sides.view}"
        with single(self._context.progress, what):
            return scoring.index.open(vectors, self._choice(side, vectors), store)

    def _choice(self, side: str, vectors: Vectors) -> IndexChoice:
        """Made once a run: measured costs differ from one process to the next."""
        path = self._context.run.shared_work / f"index-{self.sides.dataset.name}+{self.sides.view}+{side}.json"
        if not path.exists():
            queries = sum(attack.samples for attack in self._context.policy.prefix_attacks)
            choice = self._context.policy.scoring.index.choose(vectors, queries)
            write_bytes(path, json.dumps(asdict(choice)).encode())
        return IndexChoice(**json.loads(path.read_bytes()))


def index_folder(context: Context) -> Path:
    """Where graphs lie between audits: beside the policy, like the project's secret."""
    return context.policy.source.file.parent / ".auditkit" / "indexes"


def stored_nearest(
    context: Context, attack: str, indexes: SideIndexes, queries: Vectors, threshold: float | None
) -> Nearest:
    """The best matches, from scratch where an earlier process left them; coverage is written on the way."""
    path = _path(context, attack, indexes.sides)
    if not path.exists():
        search_attack(context, attack, indexes, queries, threshold)
    with np.load(path) as arrays:
        return Nearest(**{**arrays, "index": IndexUse(**json.loads(str(arrays["index"])))})


def search_attack(
    context: Context, attack: str, indexes: SideIndexes, queries: Vectors, threshold: float | None
) -> None:
    """Compare every generation with both sides in one pass; write coverage, then the best matches."""
    sides = indexes.sides
    complete = _complete(context, attack, sides)
    searches = [indexes.search(side, attack, queries, threshold) for side in ("members", "controls")]
    counted = _coverages(sides, threshold, context.policy.seed, searches)
    found = [(np.empty(len(queries), np.int64), np.empty(len(queries), np.float32)) for _ in counted]
    label = f"compare {attack} with {sides.dataset.name}, {sides.view}"
    with context.progress.stage(label, len(queries), "generations") as stage:
        for start in range(0, len(queries), BLOCK):
            rows = slice(start, min(start + BLOCK, len(queries)))
            block = queries[rows]
            for side, (index, score) in zip(counted, found, strict=True):
                index[rows], score[rows] = side.add(block, start, complete[rows])
            stage.advance(len(block))
    covered = SideCoverage(*(side.result() for side in counted))
    write_coverage(context.run.coverage_file(attack, sides.dataset.name, sides.view), covered)
    _write(_path(context, attack, sides), _nearest(sides, found[0], found[1], _use(searches)))


def _use(searches: list[Search]) -> IndexUse:
    """Of the searches of members and of controls, the one that missed more."""
    members, controls = (search.use for search in searches)
    return members.worse(replace(controls, reason=f"of the controls: {controls.reason}"))


def _coverages(sides: Sides, threshold: float | None, seed: int, searches: list[Search]) -> list[Coverage]:
    """The best of many scores is higher than the best of few: both sides' rates compare subsets of one size."""
    data = sides.dataset
    subsample = min(len(sides.members), len(sides.evaluation))
    return [
        Coverage(vectors, clusters, threshold, subsample=subsample, seed=seed, search=search)
        for vectors, clusters, search in zip(
            (sides.members, sides.evaluation),
            (data.clusters, data.control_clusters[data.evaluation]),
            searches,
            strict=True,
        )
    ]


def _nearest(sides: Sides, members: tuple[Index, Scores], controls: tuple[Index, Scores], use: IndexUse) -> Nearest:
    evaluation = sides.dataset.evaluation
    if not len(evaluation):  # no control, no score: 0 stands for "nothing near", never NaN
        return Nearest(*members, controls[0], np.zeros_like(controls[1]), use)
    return Nearest(*members, evaluation[controls[0]], controls[1], use)


def _complete(context: Context, attack: str, sides: Sides) -> Flags:
    """(n,) which generations reached the end of this view."""
    parts = [whole for _, whole in ordinals_and_complete(context.run.generations_file(attack), sides.view)]
    return np.concatenate([np.zeros(0, np.bool_), *parts])


def _path(context: Context, attack: str, sides: Sides) -> Path:
    return context.run.work / f"nearest-{attack}+{sides.dataset.name}+{sides.view}.npz"


def _write(path: Path, nearest: Nearest) -> None:
    arrays = {**vars(nearest), "index": np.array(json.dumps(asdict(nearest.index)))}
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)

"""The string matches of every attack: in turn with the vectors, or beside an embedder that waits for the network."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

import numpy as np

from auditkit.auditing import generations
from auditkit.auditing.context import Context
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.progress import Silent, Stage
from auditkit.auditing.strings_elsewhere import matched_elsewhere
from auditkit.files import replacing
from auditkit.records import View
from auditkit.scoring.strings.pairs import MEASURES

# Of a very large dataset the search counts the characters anew for each batch; a thread must hear soon that it is over.
TEXTS_AT_ONCE, TEXTS_AT_ONCE_BESIDE = 1 << 16, 1 << 13

Columns = dict[str, Any]
Key = tuple[str, str, View]


class StringMatching:
    """Best string matches by attack, dataset and view, kept as scratch files: a resumed run does not search again.

    Where texts are embedded by somebody else's machine, the searches run in a thread of their own from the start, and
    ``columns`` waits for the one that it is asked for. Otherwise both would want the same cores: each search is done
    when it is asked for.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stopped = Event()
        self._pool = ThreadPoolExecutor(1) if context.policy.scoring.embedder.external else None
        self._begun: dict[Key, Future[None]] = {}

    def __enter__(self) -> Self:
        if self._pool:
            for dataset in self._context.datasets:
                for view in dataset.views:
                    for attack in self._context.policy.prefix_attacks:
                        key = (attack.label, dataset.name, view)
                        self._begun[key] = self._pool.submit(self._search, attack.label, dataset, view, Silent())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def columns(self, attack: str, dataset: PreparedDataset, view: View) -> Columns:
        """``<measure>_record`` (n,) int64 and ``<measure>`` (n,) float64 of every generation of the attack."""
        begun = self._begun.get((attack, dataset.name, view))
        if begun is not None:
            begun.result()
        else:
            self._search(attack, dataset, view, self._context.progress)
        with np.load(self._path(attack, dataset, view)) as found:
            return dict(found)

    def _search(self, attack: str, dataset: PreparedDataset, view: View, progress: Any) -> None:
        path = self._path(attack, dataset, view)
        if path.exists():
            return
        label = f"match {attack} with {dataset.name}, {view}"
        count = next(a.samples for a in self._context.policy.prefix_attacks if a.label == attack)
        with progress.stage(label, count, "generations") as stage:
            found = self._found_elsewhere(attack, dataset, view, count, stage)
            found = found or self._found_here(attack, dataset, view, stage)
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **found)

    def _found_here(self, attack: str, dataset: PreparedDataset, view: View, stage: Stage) -> Columns:
        index = dataset.string_index(view)
        floor = self._context.policy.scoring.string_floor
        found: dict[str, list[Any]] = {}
        for texts in self._texts(attack, dataset, view):
            places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
            each = np.fromiter((places[text] for text in texts), np.int64, len(texts))
            for measure in MEASURES:
                self._go_on()
                record, similarity = index.best(list(places), measure, floor)
                found.setdefault(f"{measure}_record", []).append(record[each])
                found.setdefault(measure, []).append(similarity[each])
            stage.advance(len(texts))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _found_elsewhere(
        self, attack: str, dataset: PreparedDataset, view: View, count: int, stage: Stage
    ) -> Columns | None:
        """By workers; None where there are none, where it is little, or where it is done beside the embedder."""
        workers = None if self._pool else self._context.workers("score")
        if workers is None:
            return None
        generated = self._context.run.generations_file(attack)

        def read(rows: slice) -> list[str]:
            found = generations.read(generated, only=range(rows.start, rows.stop), tokens=False)
            return [text for batch in found for text in dataset.seen_texts(batch, view)]

        floor = self._context.policy.scoring.string_floor
        kept = self._context.run.work / f"strings-{attack}+{dataset.name}+{view}"
        return matched_elsewhere(workers, dataset.members.texts(view), count, read, floor, kept, stage)

    def _texts(self, attack: str, dataset: PreparedDataset, view: View) -> Iterator[list[str]]:
        """The generations' texts, many at a time; their tokens are never held for more than a few."""
        texts: list[str] = []
        most = TEXTS_AT_ONCE_BESIDE if self._pool else TEXTS_AT_ONCE
        for batch in generations.read(self._context.run.generations_file(attack), tokens=False):
            self._go_on()
            texts += dataset.seen_texts(batch, view)
            if len(texts) >= most:
                yield texts
                texts = []
        yield texts

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise RuntimeError("the run is over")  # seen by nobody: whoever waited has gone

    def _path(self, attack: str, dataset: PreparedDataset, view: View) -> Path:
        return self._context.run.work / f"strings-{attack}+{dataset.name}+{view}.npz"

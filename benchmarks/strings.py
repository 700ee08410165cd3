"""Exact best string matches against rapidfuzz's comparison of every pair, on texts of one topic.

Texts are cut and joined from a .jsonl file with ``question`` and ``answer``, named by AUDITKIT_BENCH_TEXTS (GSM8K's
training split is meant), or else from the example's records. Machine code is compiled before anything is timed.

``python -m benchmarks.strings [--whole]`` estimates the paper's scale from a slice, or runs it all.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auditkit.scoring.strings.best import StringIndex
from auditkit.scoring.strings.pairs import Bar, Measure
from benchmarks.measure import Entry, Floats, Skipped, Timed, in_turn

QUICKSTART = Path(__file__).resolve().parents[1] / "examples" / "quickstart" / "data" / "sft.jsonl"
VARIABLE = "AUDITKIT_BENCH_TEXTS"
SHORTEST, LONGEST = 100, 2000  # characters
FLOORS: dict[Measure, tuple[float, ...]] = {"levenshtein": (0.8, 0.7), "indel": (0.9, 0.8)}
PAPER = (100_000, 939_344)  # generations, records [Barbero 2025]
PAPER_SEARCHES: tuple[tuple[Measure, float], ...] = (("levenshtein", 0.9), ("indel", 0.9), ("levenshtein", 0.8))
PEER_ROWS, ROWS_AT_ONCE, CHECKED_ROWS = 100, 10, 5
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """What texts are made of."""

    source: str
    texts: list[str]

    @classmethod
    def found(cls) -> Pieces:
        """The file that the environment names, or the example's records."""
        given = os.environ.get(VARIABLE)
        path = Path(given) if given else QUICKSTART
        if not path.is_file():
            raise Skipped(f"{path} is not here; name a .jsonl file with question and answer by {VARIABLE}")
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts = [f"{row['question']}\n{row.get('answer', row.get('response', ''))}" for row in rows]
        source = path.name if given else f"the example's records ({VARIABLE} is not set)"
        return cls(source, texts)

    def texts_of(self, count: int, seed: int, shortest: int = SHORTEST, longest: int = LONGEST) -> list[str]:
        """Each begins in the middle of a piece, goes on with others, and is cut at a random length."""
        random = np.random.default_rng(seed)
        found = []
        for length in random.integers(shortest, longest + 1, count).tolist():
            start = self.texts[int(random.integers(len(self.texts)))]
            text = start[int(random.integers(len(start))) :]
            while len(text) < length:
                text += " " + self.texts[int(random.integers(len(self.texts)))]
            found.append(text[:length])
        return found


def floors(repeats: int, n: int = 20_000, peer_rows: int = PEER_ROWS) -> list[Entry]:
    """n generations against n records at each floor; rapidfuzz on some of the rows, and scaled."""
    pieces = Pieces.found()
    generations, records = pieces.texts_of(n, seed=1), pieces.texts_of(n, seed=2)
    planted = _plant(generations, records)
    rows = np.linspace(0, n - 1, min(peer_rows, n)).astype(np.int64)
    rows[::4] = planted[: len(rows[::4])]  # a match in every fourth of the rows that are compared
    entries = []
    for measure in FLOORS:
        entries += _Work(generations, records, measure, rows).entries(repeats, pieces.source)
    return entries


def _plant(generations: list[str], records: Sequence[str]) -> Rows:
    """Turn a few generations into near versions of records; which."""
    places = np.arange(0, min(len(generations), len(records)), max(len(generations) // 200, 1))
    for place in places.tolist():
        generations[place] = _edited(records[place])
    return places.astype(np.int64)


@dataclass(frozen=True)
class _Work:
    """Both sides of a comparison by one measure; their values are (index, similarity) of the peer's rows."""

    generations: list[str]
    records: list[str]
    measure: Measure
    rows: Rows

    def entries(self, repeats: int, source: str) -> list[Entry]:
        """One entry a floor."""
        index = StringIndex(self.records)
        sides: dict[str, Callable[[], Floats]] = {"cdist": partial(self.peer, None)}
        for floor in FLOORS[self.measure]:
            index.best(self.generations[:50], self.measure, floor)  # compiles
            sides |= {f"{floor}": partial(self.ours, floor), f"cut {floor}": partial(self.peer, floor)}
        found = in_turn(sides, repeats)
        return [self._entry(floor, found, source) for floor in FLOORS[self.measure]]

    def ours(self, floor: float) -> Floats:
        """Everything, the index included."""
        found = StringIndex(self.records).best(self.generations, self.measure, floor)
        return np.stack(found)[:, self.rows].astype(np.float64)

    def peer(self, floor: float | None) -> Floats:
        """The chosen rows, by every pair; a cutoff spares rapidfuzz the end of what is below it."""
        from rapidfuzz import process
        from rapidfuzz.distance import Indel, Levenshtein

        scorer = (Levenshtein if self.measure == "levenshtein" else Indel).normalized_similarity
        found = []
        for start in range(0, len(self.rows), ROWS_AT_ONCE):
            texts = [self.generations[row] for row in self.rows[start : start + ROWS_AT_ONCE]]
            scores = process.cdist(texts, self.records, scorer=scorer, score_cutoff=floor, dtype=np.float64, workers=-1)
            found.append(np.stack([scores.argmax(1), scores.max(1)]))
        return np.concatenate(found, axis=1)

    def _entry(self, floor: float, found: dict[str, Timed], source: str) -> Entry:
        ours, peer, cut = found[f"{floor}"], found["cdist"], found[f"cut {floor}"]
        scale = len(self.generations) / len(self.rows)
        expected = _from(peer.values, floor)
        return Entry(
            name=f"strings, {self.measure} from {floor:g}",
            peer=f"rapidfuzz cdist without a cutoff, {len(self.rows)} rows, scaled",
            n=len(self.generations),
            ratio=round(scale * peer.seconds / ours.seconds, 2),
            identical=bool(np.array_equal(ours.values, expected)),
            ours_s=round(ours.seconds, 3),
            peer_s=round(scale * peer.seconds, 1),
            more={
                "ratio_to_cdist_with_cutoff": round(scale * cut.seconds / ours.seconds, 2),
                "million_pairs_per_s": round(len(self.generations) * len(self.records) / ours.seconds / 1e6, 2),
                "matches_in_the_rows_compared": int((expected[0] >= 0).sum()),
                "texts": source,
            },
        )


def paper_scale(
    repeats: int,  # noqa: ARG001 - large enough to be steady
    sizes: tuple[int, int] = PAPER,
    slices: tuple[int, int] = (64, 2000),
    *,
    whole: bool = False,
) -> list[Entry]:
    """The paper's 100k x 939k: all of it, or what a slice of the rows says. The peer is the time demanded, 2 hours;
    a few rows are compared with rapidfuzz.

    The time that does not depend on the rows is measured on few of them and counted once; the rest goes by the pairs
    whose lengths fit.
    """
    pieces = Pieces.found()
    records, generations = pieces.texts_of(sizes[1], seed=3), pieces.texts_of(sizes[0], seed=4)
    planted = _plant(generations, records)[:CHECKED_ROWS]
    StringIndex(records[:2000]).best(generations[:200])  # compiles
    before = time.perf_counter()
    index = StringIndex(records)
    seconds = {"index": time.perf_counter() - before}
    same = True
    for measure, floor in PAPER_SEARCHES:
        name = f"{measure} {floor:g}"
        if whole:
            seconds[name] = _timed(index, generations, measure, floor)
        else:
            seconds[name] = _extrapolated(index, generations, records, Bar(measure, floor), slices)
        found = np.stack(index.best([generations[row] for row in planted], measure, floor))
        same &= np.array_equal(found, _from(_Work(generations, records, measure, planted).peer(floor), floor))
    total = sum(seconds.values())
    return [
        Entry(
            name=f"strings, {sizes[0]:,} x {sizes[1]:,}, {'all of it' if whole else 'extrapolated from a slice'}",
            peer="2 hours",
            n=sizes[0],
            ratio=round(7200 / total, 2),
            identical=same,
            ours_s=round(total, 1),
            peer_s=7200.0,
            more={**{name: round(value, 1) for name, value in seconds.items()}, "texts": pieces.source},
        )
    ]


def _timed(index: StringIndex, texts: Sequence[str], measure: Measure, floor: float) -> float:
    before = time.perf_counter()
    index.best(texts, measure, floor)
    return time.perf_counter() - before


def _extrapolated(
    index: StringIndex, generations: Sequence[str], records: Sequence[str], bar: Bar, slices: tuple[int, int]
) -> float:
    ordered = sorted(generations, key=len)
    few, many = ([ordered[int(at)] for at in np.linspace(0, len(ordered) - 1, rows)] for rows in slices)
    short, long = (_timed(index, texts, bar.measure, bar.floor) for texts in (few, many))
    lengths = np.sort([len(text) for text in records])
    pairs = [_fitting_pairs([len(text) for text in texts], lengths, bar) for texts in (few, many, ordered)]
    return short + max(long - short, 0.0) * (pairs[2] - pairs[0]) / max(pairs[1] - pairs[0], 1)


def _fitting_pairs(lengths: Sequence[int], others: Rows, bar: Bar) -> int:
    shortest = np.ceil(np.array(lengths) * bar.length_ratio())
    longest = np.floor(np.array(lengths) / bar.length_ratio())
    return int((np.searchsorted(others, longest, "right") - np.searchsorted(others, shortest, "left")).sum())


def _from(best: Floats, floor: float) -> Floats:
    """(index, similarity) with -1 and 0 below the floor."""
    return np.where(best[1] >= floor, best, np.array([[-1.0], [0.0]]))


def _edited(text: str) -> str:
    """Eight characters in the middle become three."""
    middle = len(text) // 2
    return f"{text[:middle]}xyz{text[middle + 8 :]}"


def _main() -> None:
    asked = argparse.ArgumentParser(prog="python -m benchmarks.strings", description="The paper's scale.")
    asked.add_argument("--whole", action="store_true", help="run all of it instead of a slice")
    for entry in paper_scale(1, whole=asked.parse_args().whole):
        print(entry)


if __name__ == "__main__":
    _main()

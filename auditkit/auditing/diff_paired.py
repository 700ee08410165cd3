"""Rates paired generation by generation: where both runs sampled with the same seeds, much of what is chance is shared.

What a line cannot be paired for is told as an ``UnpairedError``; the two runs' own intervals are then compared.
"""

from __future__ import annotations

from dataclasses import replace
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import numpy.typing as npt

from auditkit.auditing.cover import SideCoverage, read_coverage
from auditkit.auditing.diff_runs import DiffRun, Key, UnpairedError
from auditkit.records import Estimate
from auditkit.scoring.metrics import drawn_rate
from auditkit.scoring.strings.pairs import reaches
from auditkit.statistics.differences import paired_share_difference
from auditkit.statistics.intervals import difference_interval

PAIRED = "paired by generation: adjusted Wald (Bonett & Price 2012)"
PAIRED_LESS_CONTROLS = f"members {PAIRED}; controls, and the two together, by MOVER"
STRINGS = {"string_memorisation_rate": "levenshtein", "string_memorisation_rate_indel": "indel"}
SEMANTIC, ADJUSTED = "semantic_memorisation_rate", "adjusted_semantic_rate"
RATES = (SEMANTIC, ADJUSTED, *STRINGS)
# What a damaged file of evidence raises; pyarrow's own errors are among these.
BROKEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    NotImplementedError,
    BadZipFile,
    ZlibError,
)

Flags = npt.NDArray[np.bool_]


def paired_difference(before: DiffRun, after: DiffRun, key: Key) -> Estimate:
    """After minus before of one of ``RATES``, over the generations that are whole in both runs.

    Raises:
        UnpairedError: the evidence is not there, cannot be read, or does not hold what the figure was made of.
    """
    metric = key[0]
    first, second = (_Hits.of(run, key) for run in (before, after))
    if not np.array_equal(first.ordinal, second.ordinal):
        raise UnpairedError("the runs hold other generations")
    both = first.complete & second.complete
    if not both.any():
        raise UnpairedError("no generation is whole in both runs")
    gains = second.hit[both].astype(np.float64) - first.hit[both].astype(np.float64)
    members = paired_share_difference(gains)
    if metric != ADJUSTED:
        return _estimate(key, members, PAIRED, int(both.sum()))
    return _estimate(key, _less(members, _controls(before, after, key)), PAIRED_LESS_CONTROLS, int(both.sum()))


class _Hits:
    """Which generations of one run count in a rate."""

    def __init__(self, ordinal: npt.NDArray[np.int64], complete: Flags, hit: Flags) -> None:
        self.ordinal, self.complete, self.hit = ordinal, complete, hit

    @classmethod
    def of(cls, run: DiffRun, key: Key) -> _Hits:
        metric, dataset, attack, view = key
        column = STRINGS.get(metric, "score")
        path = run.evidence(run.files.matches_file(attack, dataset, view))
        try:
            import pyarrow.parquet as pq

            table = pq.read_table(path, columns=["ordinal", "complete", column])
            ordinal, complete, score = (table[name].to_numpy() for name in ("ordinal", "complete", column))
        except BROKEN as error:
            raise UnpairedError(f"the evidence cannot be read ({type(error).__name__})") from None
        found = cls(ordinal, complete, _reached(run, key, score))
        return found._as_reported(run, key)

    def _as_reported(self, run: DiffRun, key: Key) -> _Hits:
        """Itself, where it gives the rate that the report states: pairing must not tell another story."""
        counted = int((self.hit & self.complete).sum())
        if key[0] == ADJUSTED:
            draws = _coverage(run, key).members.draw_hits
            if len(draws) != 1:
                raise UnpairedError("members are drawn at random for this rate, which is not kept by generation")
            stated: float | None = float(draws[0])
        else:
            stated = run.estimates[key].numerator
        if stated != counted:
            raise UnpairedError("the matches on disk do not give the figure of the report")
        return self


def _reached(run: DiffRun, key: Key, score: npt.NDArray[np.float64]) -> Flags:
    metric, dataset, _, view = key
    if metric in STRINGS:
        threshold = run.policy.get("scoring", {}).get("string_threshold")
        if not isinstance(threshold, int | float):
            raise UnpairedError("the string threshold is not known")
        return np.asarray(reaches(score, float(threshold)))
    found = run.calibration(dataset, view)
    if found is None or found.threshold is None:
        raise UnpairedError("there is no semantic threshold")
    return np.asarray(score >= found.threshold)


def _controls(before: DiffRun, after: DiffRun, key: Key) -> tuple[float, float, float]:
    """The rate against controls, after minus before, each side's interval its own."""
    sides = [_coverage(run, key).controls for run in (after, before)]
    a, b = (drawn_rate(side.draw_hits, side.scored) for side in sides)
    return (a[0] - b[0], *difference_interval(*a, *b))


def _less(members: tuple[float, float, float], controls: tuple[float, float, float]) -> tuple[float, float, float]:
    return (members[0] - controls[0], *difference_interval(*members, *controls))


def _coverage(run: DiffRun, key: Key) -> SideCoverage:
    return read_side(run, key[1], key[2], key[3])


def read_side(run: DiffRun, dataset: str, attack: str, view: str) -> SideCoverage:
    """What an attack of a run reached of both sides.

    Raises:
        UnpairedError: it is not there, or cannot be read.
    """
    path = run.evidence(run.files.coverage_file(attack, dataset, view))
    try:
        return read_coverage(path)
    except BROKEN as error:
        raise UnpairedError(f"the evidence cannot be read ({type(error).__name__})") from None


def _estimate(key: Key, found: tuple[float, float, float], method: str, generations: int) -> Estimate:
    value, low, high = found
    metric, dataset, attack, view = key
    made = Estimate(metric, dataset, attack, value, min(low, value), max(high, value), method, view=view)
    return replace(made, denominator=float(generations))

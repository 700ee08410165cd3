"""Rates against the threshold, members and controls: counted while scoring, kept on disk, drawn in the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from auditkit.auditing.blinding import blind_array
from auditkit.auditing.context import Context
from auditkit.auditing.lengths import lengths
from auditkit.auditing.match import AttackMatches
from auditkit.auditing.sides import Sides
from auditkit.files import replacing
from auditkit.records import View
from auditkit.report.scored import ThresholdCurve, ThresholdPoint
from auditkit.scoring.base import Vectors
from auditkit.scoring.coverage import random_subsets
from auditkit.scoring.metrics import drawn_difference, drawn_rate
from auditkit.scoring.threshold_curve import DrawnHits, count_hits, length_subsets, thinning, threshold_grid

Drawn = Literal["at_random", "by_length"]


@dataclass(frozen=True)
class ThresholdHits:
    """Hits of one attack on one dataset, members drawn at random and by length."""

    at_random: DrawnHits
    by_length: DrawnHits

    def curves(self, attack: str, dataset: str, view: View) -> Iterator[ThresholdCurve]:
        """What there is to draw."""
        drawn: tuple[tuple[Drawn, DrawnHits], ...] = (("at_random", self.at_random), ("by_length", self.by_length))
        for how, hits in drawn:
            if hits.records and hits.scored:
                yield ThresholdCurve(
                    dataset=dataset,
                    attack=attack,
                    view=view,
                    drawn=how,
                    records=hits.records,
                    generations=hits.scored,
                    every=hits.every,
                    points=[_point(hits, float(threshold)) for threshold in hits.thresholds],
                )


def _point(hits: DrawnHits, threshold: float) -> ThresholdPoint:
    members, controls = hits.at(threshold)
    ours, theirs = drawn_rate(members, hits.scored), drawn_rate(controls, hits.scored)
    difference = drawn_difference(members, controls, hits.scored)
    return ThresholdPoint(
        threshold=threshold,
        **dict(zip(("members", "members_low", "members_high"), ours, strict=True)),
        **dict(zip(("controls", "controls_low", "controls_high"), theirs, strict=True)),
        **dict(zip(("adjusted", "adjusted_low", "adjusted_high"), difference, strict=True)),
    )


def stored_threshold_hits(
    context: Context, matches: AttackMatches, sides: Sides, queries: Vectors, threshold: float | None
) -> ThresholdHits:
    """The hits of an attack, from disk where an earlier process left them."""
    path = context.run.thresholds_file(matches.attack, matches.dataset, matches.view)
    if not path.exists():
        _write(path, _count(context, matches, sides, queries, threshold))
    return _read(path)


def _count(
    context: Context, matches: AttackMatches, sides: Sides, queries: Vectors, threshold: float | None
) -> ThresholdHits:
    seed, size = context.policy.seed, min(len(sides.members), len(sides.evaluation))
    # The draws of the adjusted rate, so that the curve goes through it where no generation is left out, and no
    # approximate index missed anything.
    at_random = (random_subsets(len(sides.members), size, seed), random_subsets(len(sides.evaluation), size, seed))
    by_length = length_subsets(*lengths(sides.dataset, sides.view), seed)
    label = f"rates by threshold, {matches.attack} with {matches.dataset}, {matches.view}"
    with context.progress.stage(label, 4, "searches") as stage:
        made = []
        for draws in (at_random, by_length):
            thresholds = threshold_grid(threshold)
            records = int(draws[1][0].sum()) if len(draws[1]) else 0
            every = thinning(len(queries), max(map(len, draws)), records)
            counted = []
            for vectors, subsets in zip((sides.members, sides.evaluation), draws, strict=True):
                some = subsets if records else subsets[:0]
                counted.append(count_hits(queries, matches.complete, vectors, some, thresholds, every))
                stage.advance(1)
            members, controls = counted
            seen = matches.complete[::every]
            whole = int(seen.sum())
            made.append(DrawnHits(thresholds, members, controls, whole, records, len(seen) - whole, every))
    return ThresholdHits(*made)


def _write(path: Path, hits: ThresholdHits) -> None:
    arrays = {
        f"{drawn.name}.{field.name}": np.asarray(getattr(getattr(hits, drawn.name), field.name))
        for drawn in fields(ThresholdHits)
        for field in fields(DrawnHits)
    }
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, blind=blind_array(), **arrays)


def _read(path: Path) -> ThresholdHits:
    with np.load(path) as arrays:
        return ThresholdHits(*(_drawn_hits(drawn.name, arrays) for drawn in fields(ThresholdHits)))


def _drawn_hits(name: str, arrays: np.lib.npyio.NpzFile) -> DrawnHits:
    thresholds, members, controls = (arrays[f"{name}.{part}"] for part in ("thresholds", "members", "controls"))
    numbers = (int(arrays[f"{name}.{part}"]) for part in ("scored", "records", "unscored", "every"))
    return DrawnHits(thresholds, members, controls, *numbers)

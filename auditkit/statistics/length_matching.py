"""Members and controls in strata of length so fine that what is left of a difference in length cannot pass for a leak.

``matching.length_strata`` is for probes, whose scores hardly depend on length inside a stratum. How often a record is
reached by chance may grow exponentially with its length, so the strata here are as fine as the records allow, and what
difference is left inside them is measured and judged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.statistics.matching import FEWEST, Strata

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

# Of each side in each stratum, at least; of many records half their square root: strata grow finer and fuller alike.
# In simulations without a leak 5 to 20 held equally; fuller ones leave more records to draw.
FEWEST_A_STRATUM = 10
# Lengths rarer than this on either side are left out: a handful of short records would stand for a whole half.
RARE = 0.01
# An AUC of length nearer to a half than this, after matching, moved no interval in simulations.
NEGLIGIBLE = 0.02
NORMAL = 1.96

NOTHING_IN_COMMON = "members and controls have no lengths in common"
RARE_LENGTHS = "some lengths of the controls are too rare among the members to be drawn in the controls' proportions"


@dataclass(frozen=True)
class LengthMatch:
    """Records of like length, and how far length still tells their sides apart.

    ``auc``, ``low``, ``high``: the chance that a member, weighted to the controls' strata, is longer than a control,
    with its 95 % interval; None where there is nothing in common.
    """

    strata: Strata
    auc: float | None
    low: float | None
    high: float | None

    @property
    def reason(self) -> str:
        """Why nothing can be said of records of like length; empty where it can."""
        if self.auc is None or self.low is None or self.high is None:
            return NOTHING_IN_COMMON
        if abs(self.auc - 0.5) > NEGLIGIBLE and not self.low <= 0.5 <= self.high:
            return (
                "members and controls still differ in length after matching: length tells them apart with an AUC of "
                f"{self.auc:.3f}; give controls of the members' lengths"
            )
        return ""

    def draw_sizes(self) -> Labels:
        """(strata,) how many to draw of each side: the controls' proportions, as many as both allow, rounded down.

        Empty where nothing can be drawn so: ``draw_reason`` says why.
        """
        ours, theirs = _counts(self.strata)
        if self.reason or not theirs.size:
            return np.zeros(0, np.int64)
        share = min(1.0, float(np.min(ours / theirs)))
        take = np.floor(share * theirs + 1e-9).astype(np.int64)
        return take if take.all() else np.zeros(0, np.int64)

    @property
    def draw_reason(self) -> str:
        """Why nothing can be drawn; empty where it can."""
        return self.reason or ("" if self.draw_sizes().size else RARE_LENGTHS)


def match_lengths(members: npt.ArrayLike, controls: npt.ArrayLike) -> LengthMatch:
    """The finest strata of length that hold enough of each side: 10, or half the square root of the smaller side.

    Args:
        members, controls: (n,) and (m,) lengths.

    Left out are lengths beyond the 1st or 99th percentile of either side. The controls are what is compared with: the
    members of a stratum stand for its controls.
    """
    a, b = np.asarray(members, np.float64), np.asarray(controls, np.float64)
    nothing = LengthMatch(Strata(np.full(a.size, -1), np.full(b.size, -1)), None, None, None)
    if min(a.size, b.size) < FEWEST:
        return nothing
    inside = _inside(a, b)
    if min(np.count_nonzero(keep) for keep in inside) < FEWEST:
        return nothing
    edges = _finest(a[inside[0]], b[inside[1]])
    strata = Strata(
        *(
            np.where(keep, np.searchsorted(edges, side, "left"), -1).astype(np.int64)
            for keep, side in zip(inside, (a, b), strict=True)
        )
    )
    return LengthMatch(strata, *_remaining(a, b, strata))


def _inside(a: Floats, b: Floats) -> list[npt.NDArray[np.bool_]]:
    low = max(float(np.quantile(side, RARE, method="lower")) for side in (a, b))
    high = min(float(np.quantile(side, 1 - RARE, method="higher")) for side in (a, b))
    return [(low <= side) & (side <= high) for side in (a, b)]


def _finest(a: Floats, b: Floats) -> Floats:
    """The upper ends of all strata but the last: each ends as soon as it holds enough, and the rest has enough too."""
    ends = np.unique(np.concatenate([a, b]))
    ours, theirs = (np.searchsorted(np.sort(side), ends, "right") for side in (a, b))
    fewest = max(FEWEST_A_STRATUM, int(min(a.size, b.size) ** 0.5 / 2))
    kept: list[int] = []
    place = 0
    while True:
        below = (int(ours[kept[-1]]), int(theirs[kept[-1]])) if kept else (0, 0)
        place = max(
            int(np.searchsorted(upto, start + fewest, "left"))
            for upto, start in zip((ours, theirs), below, strict=True)
        )
        if place >= len(ends) or min(a.size - ours[place], b.size - theirs[place]) < fewest:
            return ends[kept]
        kept.append(place)


def _remaining(a: Floats, b: Floats, strata: Strata) -> tuple[float, float, float]:
    """The AUC of length of the members, weighted to the controls' strata, against the controls, with its interval.

    Between strata nothing is left: with p the shares, the AUC is 1/2 + sum p^2 (AUC of the stratum - 1/2). Its scatter
    is that of Mann and Whitney's statistic where the sides do not differ.
    """
    ours, theirs = _counts(strata)
    square = (theirs / theirs.sum()) ** 2
    within = np.array([_auc(a[strata.members == s], b[strata.controls == s]) for s in range(len(theirs))])
    value = 0.5 + float(np.sum(square * (within - 0.5)))
    half_width = NORMAL * float(np.sqrt(np.sum(square**2 * (ours + theirs + 1) / (12 * ours * theirs))))
    return value, max(0.0, value - half_width), min(1.0, value + half_width)


def _auc(a: Floats, b: Floats) -> float:
    order = np.sort(b)
    below, upto = np.searchsorted(order, a, "left"), np.searchsorted(order, a, "right")
    return float((below + upto).mean() / 2 / b.size)


def _counts(strata: Strata) -> tuple[Labels, Labels]:
    """(strata,) members and controls of each."""
    count = int(strata.controls.max(initial=-1)) + 1
    ours, theirs = (np.bincount(side[side >= 0], minlength=count) for side in (strata.members, strata.controls))
    return ours, theirs

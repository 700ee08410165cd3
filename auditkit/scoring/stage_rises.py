"""Which training stage taught a model a record: rises of likelihood against what never-trained controls rise by.

Every text of a dataset's kind grows likelier as a model is trained on that kind, so a record's own rise names no
stage: what is above the rise of never-trained controls of like length does. Arrays in, arrays out; nothing of files.

The rule, as ``named_stages`` applies it to each record:

1. A step (the training between two checkpoints) is in question where the record rose more than 99 % of the controls
   of its dataset did, both measured against controls that were as likely before the step, and are of like length.
2. What came out of the first model already in an attack, and is likelier there than 99 % of the controls, was learnt
   before the first step: the first checkpoint is named.
3. One step in question is named. Of several the one with the largest excess is, where no other has half as much.
4. Else, of those within half of the largest, the one is named with which the record first came out in an attack.
5. Else it is unclear which. Where no step is in question: the first checkpoint is named where the record is likelier
   there than 99 % of the controls, and nothing is named otherwise.

The excess that steps are compared by is in nats a token, not in units of the controls' spread: a step that changes
little moves its controls by next to nothing, and whatever an earlier stage taught drifts by many times that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# alone: one step rose; largest: one by far; attack: the attack told two steps apart; before: the first model knew it.
How = Literal["alone", "largest", "attack", "before", "close", "none", "unread"]
HOW: tuple[How, ...] = get_args(How)
UNNAMED = -1
RARE = 0.01  # of the controls
FEWEST_CONTROLS = 99  # with fewer, no rise can be rarer than 1 in 100
CLOSE = 0.5  # of the largest excess
FEWEST_NEIGHBOURS = 20
LEAST_SPREAD = 1e-6  # nats a token: below it two rises are the same


@dataclass(frozen=True)
class Rises:
    """What the records of one dataset rose by in one step, under one prefix; nats a token, NaN where unread.

    ``before`` are the log-probabilities a token that each side rose from. For the first checkpoint there is nothing to
    rise from: its own log-probabilities stand in, and ``before`` is None.
    """

    members: Floats  # (n,)
    controls: Floats  # (m,)
    before: tuple[Floats, Floats] | None = None


@dataclass(frozen=True)
class Excess:
    """One step, over all prefixes; each (n,), of the members, NaN where unread.

    ``rise`` nats a token; ``excess`` how much of it is above controls of like length and likelihood; ``units`` the
    same in their standard deviations; ``p`` the share of controls that rose as much, the record itself among them.
    ``control_rise`` is the mean of the controls, and ``line`` the excess in ``units`` that 99 % of them stay below.
    """

    rise: Floats
    excess: Floats
    units: Floats
    p: Floats
    control_rise: float
    line: float

    @property
    def risen(self) -> Flags:
        """(n,) whether it rose more than 99 % of the controls."""
        return np.nan_to_num(self.p, nan=1.0) <= RARE


@dataclass(frozen=True)
class Named:
    """(n,) each: the checkpoint that is named (0 the first, s the one that step s led to, -1 none), and how."""

    checkpoint: Index
    how: npt.NDArray[np.str_]


def excess_over_controls(rises: Sequence[Rises], member_lengths: Floats, control_lengths: Floats) -> Excess | None:
    """One step's rises above those of controls of like length; None with too few controls to tell 1 in 100.

    Args:
        rises: one under each prefix that the records were read under; what is said is the mean over them.
        member_lengths, control_lengths: (n,) and (m,) tokens of each record.

    What is unlikely rises more than what is likely: the part of a rise that the controls' own likelihoods before it
    foretell (a straight line) is taken off both sides. A base model finds half of its texts likely or unlikely for
    reasons of its own, and a plain difference would carry all of that. Each record is then compared with the controls
    nearest to it in length, each control with the others nearest to it, so that a record that no stage was trained on
    is one among the controls, and ``p`` is exact for it but for the line.
    """
    kept = np.all([np.isfinite(one.controls) for one in rises], axis=0)
    if np.count_nonzero(kept) < FEWEST_CONTROLS:
        return None
    compared = [_compared(one, kept, member_lengths, control_lengths) for one in rises]
    excess, units, of_controls = (np.mean([getattr(one, name) for one in compared], axis=0) for name in _Compared.NAMES)
    ordered = np.sort(of_controls)
    as_much = len(ordered) - np.searchsorted(ordered, units, "left")  # NaN sorts last: as_much is 0 there
    p = np.where(np.isfinite(units), (1 + as_much) / (1 + len(ordered)), np.nan)
    return Excess(
        rise=np.mean([one.members for one in rises], axis=0),
        excess=excess,
        units=units,
        p=p,
        control_rise=float(np.mean([one.controls[kept] for one in rises])),
        line=float(ordered[-max(1, int(RARE * (1 + len(ordered))))]),
    )


@dataclass(frozen=True)
class _Compared:
    """Under one prefix: excess (n,) and units (n,) of members, units (kept controls,) of controls."""

    excess: Floats
    units: Floats
    of_controls: Floats

    NAMES = ("excess", "units", "of_controls")


def _compared(rises: Rises, kept: Flags, member_lengths: Floats, control_lengths: Floats) -> _Compared:
    rises = _beyond_the_usual(rises, kept)
    order = np.argsort(control_lengths[kept], kind="stable")
    lengths, values = control_lengths[kept][order], rises.controls[kept][order]
    means, spreads = _neighbourhoods(values)
    at = _places(lengths, member_lengths)
    excess = rises.members - means[at]
    around, spread = _without_itself(values)
    of_controls = np.empty(len(values))
    of_controls[order] = (values - around) / spread
    return _Compared(excess, excess / spreads[at], of_controls)


def _beyond_the_usual(rises: Rises, kept: Flags) -> Rises:
    """The rises without what the controls' likelihoods before them foretell."""
    if rises.before is None:
        return rises
    members, controls = rises.before
    known = np.column_stack([np.ones(np.count_nonzero(kept)), controls[kept]])
    (level, slope), *_ = np.linalg.lstsq(known, rises.controls[kept], rcond=None)
    return Rises(rises.members - level - slope * members, rises.controls - level - slope * controls)


def _neighbours(controls: int) -> int:
    """How many controls a record is compared with: enough for a spread, few enough to be of like length."""
    return min(controls - 1, max(FEWEST_NEIGHBOURS, int(2 * controls**0.5)))


def _places(lengths: Floats, wanted: Floats) -> Index:
    """(n,) the window of each record: the one whose middle is nearest in rank to where its length belongs."""
    count = _neighbours(len(lengths))
    middle = (np.searchsorted(lengths, wanted, "left") + np.searchsorted(lengths, wanted, "right")) // 2
    return np.asarray(np.clip(middle - count // 2, 0, len(lengths) - count), np.int64)


def _neighbourhoods(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of every window of neighbours, ``values`` in the order of their lengths."""
    windows = np.lib.stride_tricks.sliding_window_view(values, _neighbours(len(values)))
    return windows.mean(axis=1), np.maximum(windows.std(axis=1, ddof=1), LEAST_SPREAD)


def _without_itself(values: Floats) -> tuple[Floats, Floats]:
    """(m,) mean and standard deviation of each control's neighbours, itself left out."""
    count = _neighbours(len(values))
    at = np.clip(np.arange(len(values)) - count // 2, 0, len(values) - count - 1)
    windows = np.lib.stride_tricks.sliding_window_view(values, count + 1)[at]
    mean = (windows.sum(axis=1) - values) / count
    squares = ((windows - mean[:, None]) ** 2).sum(axis=1) - (values - mean) ** 2
    return mean, np.maximum(np.sqrt(np.maximum(squares, 0) / (count - 1)), LEAST_SPREAD)


def named_stages(first: Excess, steps: Sequence[Excess], first_out: Index) -> Named:
    """The checkpoint at which each record was learnt, by the rule at the head of this file.

    Args:
        first: the first checkpoint's own likelihood against controls.
        steps: step s is at s - 1, and leads to checkpoint s.
        first_out: (n,) the first checkpoint in whose attacks the record came out; -1 where in none.
    """
    risen = np.array([step.risen for step in steps]).T
    excess = np.where(risen, np.array([step.excess for step in steps]).T, -np.inf)
    read = np.isfinite(np.array([step.p for step in steps])).all(axis=0)
    found = [
        _named_one(risen[row], excess[row], bool(first.risen[row]), int(first_out[row])) if read[row] else _UNREAD
        for row in range(len(first_out))
    ]
    return Named(np.array([one[0] for one in found], np.int64), np.array([one[1] for one in found], np.str_))


_UNREAD: tuple[int, How] = (UNNAMED, "unread")


def _named_one(risen: Flags, excess: Floats, known_before: bool, first_out: int) -> tuple[int, How]:
    if known_before and (first_out == 0 or not risen.any()):
        return 0, "before"
    if not risen.any():
        return UNNAMED, "none"
    largest = int(np.argmax(excess))
    close = np.flatnonzero(excess >= CLOSE * excess[largest])
    if len(close) == 1:
        return largest + 1, "alone" if np.count_nonzero(risen) == 1 else "largest"
    return (first_out, "attack") if first_out - 1 in close else (UNNAMED, "close")

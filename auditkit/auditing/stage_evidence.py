"""What the chain's evidence says of one dataset, as arrays: rises of likelihood, and what came out when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auditkit.auditing.checkpoints import MeasuredCheckpoint
from auditkit.auditing.likelihoods import stored_rows
from auditkit.auditing.prepare import PreparedDataset
from auditkit.records import View
from auditkit.scoring.stage_rises import Excess, Named, Rises, excess_over_controls, named_stages

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

NO_THRESHOLD = "it has no threshold, so that nothing says which of its records leaked"
FEW_CONTROLS = "too few of its controls could be read to say that a rise is rarer than 1 in 100"


@dataclass(frozen=True)
class DatasetChain:
    """One dataset over the chain.

    ``out`` (checkpoints, n) marks the members that came out of each; ``controls_out`` (checkpoints,) the share of
    evaluation controls that did. ``first`` and ``steps`` are None and empty where nothing can be told, and ``named``
    then names nothing; ``reason`` says why.
    """

    data: PreparedDataset
    out: Flags
    controls_out: list[float | None]
    first: Excess | None
    steps: list[Excess]
    named: Named
    reason: str = ""

    @property
    def judged(self) -> bool:
        """Whether a threshold says what leaked."""
        return self.reason != NO_THRESHOLD

    @property
    def leaked(self) -> Flags:
        """(n,) what came out of the candidate."""
        return np.asarray(self.out[-1])

    @property
    def first_out(self) -> Index:
        """(n,) the first checkpoint that each came out of, -1 where of none."""
        return np.where(self.out.any(axis=0), self.out.argmax(axis=0), -1)


def dataset_chain(chain: Sequence[MeasuredCheckpoint], data: PreparedDataset) -> DatasetChain:
    """Everything that the chain's evidence holds of one dataset."""
    out = np.array([_came_out(one, data) for one in chain])
    nothing = Named(np.full(out.shape[1], -1, np.int64), np.full(out.shape[1], "unread"))
    if chain[-1].scores.calibrations[data.name, data.views[0]].threshold is None:
        return DatasetChain(data, out, [None] * len(chain), None, [], nothing, NO_THRESHOLD)
    controls = [_controls_out(one, data) for one in chain]
    levels, lengths = _levels(chain, data)
    found = [excess_over_controls(rises, *lengths) for rises in _rises(levels)]
    if any(one is None for one in found):
        return DatasetChain(data, out, controls, None, [], nothing, FEW_CONTROLS)
    first, *steps = [one for one in found if one is not None]
    first_out = np.where(out.any(axis=0), out.argmax(axis=0), -1)
    return DatasetChain(data, out, controls, first, steps, named_stages(first, steps, first_out))


def _came_out(one: MeasuredCheckpoint, data: PreparedDataset) -> Flags:
    """(n,) the members that any attack on this checkpoint reached."""
    hits = [one.scores.coverage[key].members.record_hit for key in _keys(one, data)]
    return np.asarray(np.logical_or.reduce(hits), np.bool_)


def _controls_out(one: MeasuredCheckpoint, data: PreparedDataset) -> float | None:
    found = np.logical_or.reduce([one.scores.coverage[key].controls.record_hit for key in _keys(one, data)])
    return float(found.mean()) if found.size else None


def _keys(one: MeasuredCheckpoint, data: PreparedDataset) -> list[tuple[str, str, View]]:
    return [(attack.label, data.name, data.views[0]) for attack in one.context.policy.prefix_attacks]


_Sides = tuple[Floats, Floats]  # members, controls


def _levels(chain: Sequence[MeasuredCheckpoint], data: PreparedDataset) -> tuple[list[list[_Sides]], _Sides]:
    """Log-probability a token by checkpoint, prefix and side; and the tokens of each side's records."""
    corpora = (data.members, data.controls)
    read = [[[_read(one.path(reading, corpus)) for corpus in corpora] for reading in one.readings] for one in chain]
    levels = [[(sides[0][0], sides[1][0]) for sides in under] for under in read]
    members, controls = read[0][0]
    return levels, (members[1], controls[1])


def _read(path: Path) -> _Sides:
    """(records,) log-probability a token, NaN where unread; and tokens."""
    rows = [(tokens.ids, reading.logprobs, reason) for tokens, reading, reason in stored_rows(path)]
    lengths = np.array([float(len(ids)) for ids, _, _ in rows])
    levels = np.array([float(np.mean(given)) if not reason and len(given) else np.nan for _, given, reason in rows])
    return levels, lengths


def _rises(levels: list[list[_Sides]]) -> list[list[Rises]]:
    """Of the first checkpoint its own levels, then of each step what was risen by; one under each prefix."""
    first = [Rises(*sides) for sides in levels[0]]
    steps = [
        [Rises(b[0] - a[0], b[1] - a[1], before=a) for a, b in zip(before, after, strict=True)]
        for before, after in pairwise(levels)
    ]
    return [first, *steps]

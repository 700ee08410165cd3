"""Fine strata of length: enough of both sides in each, and what is left of a difference is measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.statistics.length_matching import FEWEST_A_STRATUM, match_lengths
from auditkit.statistics.roc import auc

lengths = st.lists(st.integers(1, 40), min_size=0, max_size=120).map(np.array)


@given(lengths, lengths)
def test_strata_hold_enough_of_both_sides_and_the_auc_is_that_of_the_weighted_records(
    a: np.ndarray, b: np.ndarray
) -> None:
    match = match_lengths(a, b)
    ours, theirs = match.strata.members, match.strata.controls
    count = int(theirs.max(initial=-1)) + 1
    sizes = [np.bincount(side[side >= 0], minlength=count) for side in (ours, theirs)]
    assert set(ours[ours >= 0]) == set(theirs[theirs >= 0]) == set(range(count))
    if not count:
        assert match.auc is None
        assert match.reason
        assert not match.draw_sizes().size
        return
    assert min(side.min() for side in sizes) >= (FEWEST_A_STRATUM if count > 1 else 2)
    kept, against = a[ours >= 0], b[theirs >= 0]
    weights = (sizes[1] / sizes[1].sum() / sizes[0])[ours[ours >= 0]]
    higher = (kept[:, None] > against).mean(1) + (kept[:, None] == against).mean(1) / 2
    assert match.auc == pytest.approx(float(np.sum(weights * higher)))
    take = match.draw_sizes()
    assert (take <= np.minimum(*sizes)[: take.size]).all()


def test_a_great_difference_in_length_is_hardly_left() -> None:
    rng = np.random.default_rng(1)
    for n in (300, 3000, 30_000):
        members, controls = rng.gamma(9, 40, 2 * n), rng.gamma(5, 40, n)
        match = match_lengths(members, controls)
        assert auc(members, controls).value > 0.8
        assert match.auc is not None
        assert abs(match.auc - 0.5) < 0.02
        assert match.strata.controls.max() >= 6

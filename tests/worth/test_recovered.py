"""The share of the gain: its interval covers the truth, and says nothing where there is no gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.worth.recovered import NO_GAIN, Floats, TaskScores, gain, recovered, scored, verdict

BASE = 0.1


@dataclass(frozen=True)
class World:
    """Trainings and questions both scatter: a seed does something to all arms and something to each, and questions
    differ in how much of a gain they show."""

    seeds: int
    questions: int
    together: float = 0.05
    apart: float = 0.03

    def draw(self, rng: np.random.Generator, **gains: float) -> dict[str, TaskScores]:
        """What every arm scored, the base among them."""
        slopes = rng.uniform(0.5, 1.5, self.questions)
        common = rng.normal(0, self.together, self.seeds)
        found = {"base": self._asked(rng, np.full((1, self.questions), BASE))}
        for arm, mean in gains.items():
            reached = mean + common + rng.normal(0, self.apart, self.seeds)
            found[arm] = self._asked(rng, BASE + reached[:, None] * slopes)
        return found

    def _asked(self, rng: np.random.Generator, shares: Floats) -> TaskScores:
        return TaskScores((rng.random(shares.shape) < np.clip(shares, 0, 1)).astype(np.float64))


@pytest.mark.parametrize("world", [World(3, 100), World(3, 400), World(5, 60), World(2, 200)], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_the_interval_covers_the_truth_and_is_no_wider_than_it_need_be(world: World, share: float) -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(500):
        arms = world.draw(rng, extractions=0.5 * share, originals=0.5)
        found.append(recovered(arms["extractions"], arms["originals"], arms["base"]))
    said = [one for one in found if one.value is not None and one.low is not None and one.high is not None]
    assert len(said) >= 30  # with two seeds most worlds are not clear, and those that are say so
    covered = np.mean([one.low <= share <= one.high for one in said if one.low is not None and one.high is not None])
    assert covered >= 0.93
    if world.seeds > 2:
        widths = [one.high - one.low for one in said if one.low is not None and one.high is not None]
        assert np.median(widths) < 1.2


def test_nothing_is_concluded_where_the_originals_teach_nothing() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        arms = World(3, 100).draw(rng, extractions=0.3, originals=0.0)
        found.append(recovered(arms["extractions"], arms["originals"], arms["base"]))
    inconclusive = [one for one in found if verdict(one) == "inconclusive"]
    assert len(inconclusive) >= 0.97 * len(found)
    assert {one.reason for one in inconclusive} == {NO_GAIN}
    assert all(one.low is None and one.high is None for one in inconclusive)


def test_originals_that_do_worse_than_the_base_teach_nothing() -> None:
    worse = TaskScores(np.zeros((3, 50)))
    assert recovered(worse, worse, TaskScores(np.ones((1, 50)))).reason == NO_GAIN


def test_what_every_seed_and_question_agree_on_still_has_an_interval() -> None:
    base, all_right = TaskScores(np.zeros((1, 40))), TaskScores(np.ones((3, 40)))
    found = recovered(all_right, all_right, base)
    assert found.value == 1.0
    assert found.low is not None and found.high is not None and 0.6 < found.low < 1.0 < found.high < 1.7
    assert verdict(found) == "recovers"


def test_an_untrained_arm_recovers_nothing() -> None:
    rng = np.random.default_rng(3)
    arms = World(3, 300).draw(rng, originals=0.6)
    found = recovered(arms["base"], arms["originals"], arms["base"])
    assert found.value == 0.0
    assert found.low is not None and found.low < 0 < (found.high or 0.0)
    assert verdict(found) == "nothing_shown"


def test_a_figure_of_all_questions_together_scatters_between_seeds_alone() -> None:
    base = TaskScores(np.array([[10.0]]), shares=False)
    originals = TaskScores(np.array([[20.0], [21.0], [19.0]]), shares=False)
    half = TaskScores(np.array([[15.0], [15.5], [14.5]]), shares=False)
    found = recovered(half, originals, base)
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5) == found.high  # what a seed does to one it does to half to the other
    learned = gain(originals, base)
    assert learned.value == 10.0 and learned.low == pytest.approx(10 - 4.302653 / 3**0.5)


def test_a_score_is_its_mean_with_an_interval_around_it() -> None:
    arms = World(3, 100).draw(np.random.default_rng(5), originals=0.5)
    for arm in arms.values():
        found = scored(arm)
        assert found.value == pytest.approx(arm.mean)
        assert found.low is not None and found.high is not None and 0 <= found.low < arm.mean < found.high <= 1


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 100), st.floats(-100, 100))
def test_the_scale_of_a_score_does_not_matter(seed: int, factor: float, shift: float) -> None:
    arms = World(3, 50).draw(np.random.default_rng(seed), extractions=0.4, originals=0.6)
    plain = [TaskScores(arms[name].values, shares=False) for name in ("extractions", "originals", "base")]
    moved = [TaskScores(factor * one.values + shift, shares=False) for one in plain]
    first, second = recovered(*plain), recovered(*moved)
    assert (first.value is None) == (second.value is None)
    if first.value is not None:
        assert second.value == pytest.approx(first.value, rel=1e-6, abs=1e-6)
        assert second.low == pytest.approx(first.low, rel=1e-5, abs=1e-5)

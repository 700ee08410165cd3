"""Whose records leaked, and in which order removing them takes most away."""

from __future__ import annotations

from itertools import accumulate, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.scoring.attribution import Leaks, cluster_records, end_to_end, group_counts, leaks, removals

TAU = 0.9


@st.composite
def leaking(draw: st.DrawFn) -> Leaks:
    """A dataset of up to eight records and what up to thirty generations reached of it."""
    records = draw(st.integers(1, 8))
    whole = st.lists(st.integers(0, 3), min_size=records, max_size=records)
    flags = st.lists(st.booleans(), min_size=records, max_size=records)
    one = st.tuples(st.integers(-1, records - 1), st.sampled_from([0.5, 0.9, 0.95, 1.0]))
    generations = draw(st.lists(one, max_size=30))
    return leaks(
        np.array(draw(whole)),
        np.array(draw(flags)),
        np.array([best for best, _ in generations], np.int64),
        np.array([score for _, score in generations], np.float32),
        TAU,
    )


def test_a_generation_counts_for_the_cluster_of_its_best_match() -> None:
    clusters = np.array([7, 7, 3, 9, 4])
    best, score = np.array([0, 1, 2, 2, 3, 4, -1]), np.array([0.92, 0.97, 0.95, 0.91, 0.99, 0.5, -np.inf], np.float32)
    found = leaks(clusters, np.array([True, True, True, True, False]), best, score, TAU)
    listed = removals(found)
    assert listed.record.tolist() == [2, 1, 3]  # 2/5 for one record; 2/5 for two and 1/5 for one: the lower record
    assert listed.records.tolist() == [1, 2, 1]
    assert listed.generations.tolist() == [2, 2, 1]
    assert listed.risk_per_record == pytest.approx([0.4, 0.2, 0.2])
    assert listed.cumulative == pytest.approx([0.4, 0.8, 1.0])
    assert [members.tolist() for members in cluster_records(found.clusters, listed.cluster)] == [[2], [0, 1], [3]]


def test_what_only_a_second_best_reaches_has_leaked_and_removes_nothing() -> None:
    found = leaks(np.arange(2), np.array([True, True]), np.array([0, 0]), np.array([0.95, 0.99]), TAU)
    assert removals(found).record.tolist() == [0]
    counts = group_counts(found, np.arange(2), np.array([0, 1]), 2)
    assert counts.records_leaked.tolist() == counts.clusters_leaked.tolist() == [1, 1]
    assert counts.generations.tolist() == [2, 0]


def test_without_a_leak_there_is_nothing_to_remove() -> None:
    found = leaks(np.arange(3), np.zeros(3, bool), np.array([0, 1]), np.array([0.1, 0.2]), TAU)
    listed = removals(found)
    assert all(len(values) == 0 for values in vars(listed).values())
    assert list(cluster_records(found.clusters, listed.cluster)) == []
    counts = group_counts(found, np.arange(3), np.array([0, 0, 1]), 2)
    assert counts.records.tolist() == counts.clusters.tolist() == [2, 1]
    assert not counts.records_leaked.any() and not counts.clusters_leaked.any() and not counts.generations.any()


def test_no_record_and_no_group_are_no_special_case() -> None:
    nothing = np.array([], np.int64)
    found = leaks(nothing, np.array([], bool), nothing, np.array([], np.float32), TAU)
    assert len(removals(found).record) == 0
    assert group_counts(found, nothing, nothing, 1).records.tolist() == [0]


@given(leaking())
def test_the_shares_add_up_and_never_rise(found: Leaks) -> None:
    listed = removals(found)
    assert listed.generations.sum() == len(found.generation)
    assert np.all(np.diff(listed.risk_per_record) <= 1e-12)
    assert listed.cumulative == pytest.approx(list(accumulate(listed.risk_per_record * listed.records)))
    if len(listed.record):
        assert listed.cumulative[-1] == pytest.approx(1)
        assert np.array_equal(found.clusters[listed.record], listed.cluster)
    for cluster, record in zip(listed.cluster, listed.record, strict=True):
        inside = found.clusters[found.record] == cluster
        assert found.score[inside & (found.record == record)].max() == found.score[inside].max()


@given(leaking())
def test_no_other_order_takes_more_away_for_the_records_it_costs(found: Leaks) -> None:
    listed = removals(found)

    def curve(order: tuple[int, ...]) -> list[float]:
        """What is taken away after each single record, a cluster's share spread over its records."""
        each = [share for place in order for share in [listed.risk_per_record[place]] * int(listed.records[place])]
        return list(accumulate(each))

    ours = curve(tuple(range(len(listed.record))))
    for other in permutations(range(len(listed.record))):
        assert all(mine >= theirs - 1e-9 for mine, theirs in zip(ours, curve(other), strict=True))


@given(leaking(), leaking(), st.data())
def test_groups_count_what_is_in_them_once(first: Leaks, second: Leaks, data: st.DataObject) -> None:
    found = end_to_end([first, second])
    groups = [data.draw(st.sets(st.integers(0, 3), max_size=3)) for _ in found.leaked]
    pairs = [(record, group) for record, each in enumerate(groups) for group in each]
    counts = group_counts(
        found, np.array([r for r, _ in pairs], np.int64), np.array([g for _, g in pairs], np.int64), 4
    )
    for group in range(4):
        inside = {record for record, each in enumerate(groups) if group in each}
        leaked = {record for record in inside if found.leaked[record]}
        hits = zip(found.generation.tolist(), found.record.tolist(), strict=True)
        assert counts.records[group] == len(inside)
        assert counts.records_leaked[group] == len(leaked)
        assert counts.clusters[group] == len({found.clusters[record] for record in inside})
        assert counts.clusters_leaked[group] == len({found.clusters[record] for record in leaked})
        assert counts.generations[group] == len({generation for generation, record in hits if record in inside})


def test_a_record_in_two_datasets_leaks_from_both_and_its_generation_counts_once() -> None:
    best, score = np.array([0, 0, 1]), np.array([0.99, 0.97, 0.2])
    parts = [leaks(np.arange(2), np.array([True, False]), best, score, TAU) for _ in range(2)]
    counts = group_counts(end_to_end(parts), np.arange(4), np.zeros(4, np.int64), 1)
    assert (counts.records[0], counts.records_leaked[0], counts.generations[0]) == (4, 2, 2)
    by_dataset = group_counts(end_to_end(parts), np.arange(4), np.array([0, 0, 1, 1]), 2)
    assert by_dataset.generations.tolist() == [2, 2]

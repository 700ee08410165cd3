"""Which leaks a report shows: the datasets take turns, so that no large one crowds the others out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditkit.auditing.findings import in_turn

LISTS = st.lists(st.lists(st.integers(), max_size=8), max_size=5)


def test_the_best_of_each_comes_before_the_second_of_any() -> None:
    assert list(in_turn([["a1", "a2", "a3"], ["b1"], [], ["c1", "c2"]])) == ["a1", "b1", "c1", "a2", "c2", "a3"]


@given(LISTS, st.integers(0, 30))
def test_every_cut_is_fair(lists: list[list[int]], cut: int) -> None:
    """Two datasets differ by at most one in what is shown, unless the one with fewer has no more to show."""
    named = [[(name, item) for item in items] for name, items in enumerate(lists)]
    shown = list(in_turn(named))[:cut]
    counts = [sum(name == owner for owner, _ in shown) for name in range(len(lists))]
    for one, items in zip(counts, lists, strict=True):
        assert one == len(items) or one >= max(counts) - 1


@given(LISTS)
def test_nothing_is_lost_and_each_list_keeps_its_order(lists: list[list[int]]) -> None:
    named = [[(name, place) for place, _ in enumerate(items)] for name, items in enumerate(lists)]
    found = list(in_turn(named))
    assert sorted(found) == sorted(item for items in named for item in items)
    for name, items in enumerate(named):
        assert [item for item in found if item[0] == name] == items

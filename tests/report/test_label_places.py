from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from auditkit.report.label_places import MARKER, Box, label_places

AXES = Box(200, 110, 400, 220)
SIZE = (11.0, 9.0)
points = st.lists(st.tuples(st.floats(0, 400), st.floats(0, 220)), max_size=15)


def boxes(found: list[tuple[float, float]]) -> list[Box]:
    return [Box(x, y, *SIZE) for x, y in found]


@given(points)
def test_no_label_lies_on_another_on_a_marker_or_outside(places: list[tuple[float, float]]) -> None:
    found = boxes(label_places(places, [SIZE] * len(places), AXES))
    assert not [pair for pair in combinations(found, 2) if pair[0].overlaps(pair[1])]
    markers = [Box(x, y, 2 * MARKER, 2 * MARKER) for x, y in places]
    assert not [1 for box in found for marker in markers if box.overlaps(marker)]
    assert all(box.inside(AXES) for box in found)


def test_twenty_arms_in_one_place_are_all_labelled_apart() -> None:
    found = boxes(label_places([(10.0, 10.0)] * 20, [SIZE] * 20, AXES))
    assert not [pair for pair in combinations(found, 2) if pair[0].overlaps(pair[1])]


def test_a_lone_label_stands_upper_right_and_close() -> None:
    ((x, y),) = label_places([(200.0, 110.0)], [SIZE], AXES)
    assert 200 < x < 215 and 110 < y < 125


def test_what_is_taken_is_left_alone() -> None:
    taken = Box(210, 120, 30, 20)
    (found,) = boxes(label_places([(200.0, 110.0)], [SIZE], AXES, [taken]))
    assert not found.overlaps(taken)


def test_where_there_is_no_room_every_label_still_has_a_place() -> None:
    tiny = Box(5, 5, 10, 10)
    assert len(label_places([(5.0, 5.0)] * 3, [SIZE] * 3, tiny)) == 3

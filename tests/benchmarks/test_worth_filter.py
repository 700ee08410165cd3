"""The benchmark of the filter gives it something of every kind."""

from __future__ import annotations

from auditkit.worth.base import CUT_OFF, EXACT_DUPLICATE, MARKUP, NEAR_DUPLICATE, FilterSection
from benchmarks.worth_filter import generations, measured


def test_every_kind_is_dropped_for_what_was_done_to_it() -> None:
    found = measured(400, 20, FilterSection())
    assert {"kept", CUT_OFF, MARKUP, EXACT_DUPLICATE, NEAR_DUPLICATE} == set(found["counts"])
    assert sum(found["counts"].values()) == found["generations"] == 400
    assert list(generations(20, 5)) == list(generations(20, 5))

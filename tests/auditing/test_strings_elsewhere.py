"""Records in shards, texts in blocks, in any order: the best string matches of one search over all."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.auditing.progress import Silent
from auditkit.auditing.strings_elsewhere import matched_elsewhere
from auditkit.scoring.strings.best import best_string_matches
from auditkit.scoring.strings.pairs import MEASURES

from ..engines.inline import Inline

FLOOR = 0.6
TEXTS = st.lists(st.text("abc", max_size=8), min_size=1, max_size=12)


@settings(max_examples=25)
@given(records=TEXTS, texts=TEXTS, sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)), seed=st.integers(0, 99))
def test_the_matches_of_one_search(
    tmp_path_factory: pytest.TempPathFactory, records: list[str], texts: list[str], sizes: tuple[int, int], seed: int
) -> None:
    kept: Path = tmp_path_factory.mktemp("parts") / "strings"
    with Silent().stage("", len(texts), "") as stage:
        workers = Inline(*sizes, seed=random.Random(seed).randrange(1000))
        found = matched_elsewhere(workers, records, len(texts), lambda rows: texts[rows], FLOOR, kept, stage)
    if found is None:  # one unit
        assert len(texts) <= sizes[0]
        assert len(records) <= sizes[1]
        return
    for measure in MEASURES:
        record, similarity = best_string_matches(texts, records, measure, FLOOR)
        assert np.array_equal(found[f"{measure}_record"], record)
        assert np.array_equal(found[measure], similarity)

"""One cluster for all tests of a module: it takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .clusters import Nodes


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("ray")
    made = Nodes()
    yield made
    made.close()

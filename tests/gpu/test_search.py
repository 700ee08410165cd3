"""Exact search on the GPU: the CPU's result to the bit, whatever somebody set for products."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from auditkit.scoring.vectors import device_search
from auditkit.scoring.vectors.device_search import DeviceSearch, DeviceVectors, exact_search
from auditkit.scoring.vectors.exact_search import ExactSearch
from tests.scoring.vectors.test_device_search import assert_same, unit

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["highest", "high"])
@pytest.mark.parametrize("resident", [True, False])
def test_the_gpu_finds_what_the_cpu_finds(precision: str, resident: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, 384))
    vectors = unit(np.repeat(centres, 100, 0) + 1e-5 * rng.normal(size=(20_000, 384)))
    queries = unit(np.repeat(centres, 25, 0) + 1e-5 * rng.normal(size=(5000, 384)))
    if not resident:
        monkeypatch.setattr(device_search, "_room", lambda _: 0.0)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        there = DeviceVectors(vectors, "cuda")
        assert_same(DeviceSearch(there, 0.999), ExactSearch(vectors, 0.999), queries, [1000, 4999])
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_large_search_is_sent_there_by_itself() -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(20_000, 384)))
    assert isinstance(exact_search(vectors, 20_000), DeviceSearch)
    assert isinstance(exact_search(vectors, 10), ExactSearch)


def test_device_memory_is_bounded_by_the_block() -> None:
    """All rows alike: every pair is within reach, and still few come back at once."""
    vectors = unit(np.ones((40_000, 64)))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    index, _ = DeviceSearch(DeviceVectors(vectors, "cuda"), nearest_queries=False).add(vectors[:3000])
    assert not index.any()
    block = device_search.ROWS * device_search.COLUMNS * 4
    assert torch.cuda.max_memory_allocated() - before < vectors.nbytes + 4 * block

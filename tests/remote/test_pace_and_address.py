"""Turns are spread as rate limits count; addresses that give something away are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.remote.address import is_loopback, safe_address
from auditkit.remote.pace import Pace


@given(st.lists(st.integers(1, 5000), min_size=2, max_size=50), st.floats(1, 600), st.floats(100, 100_000))
def test_no_minute_sees_more_than_is_allowed(asked: list[int], requests: float, tokens: float) -> None:
    now = [0.0]
    pace = Pace(requests, tokens, lambda: now[0])
    sent: list[tuple[float, int]] = []
    for count in asked:
        now[0] += pace.turn(count)
        sent.append((now[0], count))
    for start, _ in sent:
        inside = [count for at, count in sent if start <= at < start + 60]
        assert len(inside) <= requests + 1
        assert sum(inside) <= tokens + max(inside)


def test_without_limits_nobody_waits() -> None:
    pace = Pace(None, None)
    assert [pace.turn(10**9) for _ in range(5)] == [0.0] * 5


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "http://127.9.9.9", "http://[::1]:80/v1"])
def test_this_machine(url: str) -> None:
    assert is_loopback(url)
    assert safe_address(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost.example.com/v1",
        "http://10.0.0.1/v1",
        "http://127.0.0.1@evil.example/v1",
        "https://user:password@example.com",
        "https://example.com/v1?key=secret",
        "https://example.com/#fragment",
        "file:///etc/passwd",
        "https://",
        "http://127.0.0.1:99999999/v1",
        "",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="should be"):
        safe_address(url)

"""A budget is never passed, whatever is asked at once, and nothing that fits is held up for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.remote.budget import TOLD_REQUESTS, TOLD_SECONDS, Budget, BudgetSpentError, Meter, Prices, Spent, raised

TOKENS = st.integers(0, 500)


@given(st.lists(st.tuples(TOKENS, TOKENS, st.floats(0, 1)), max_size=40), st.integers(1, 3000))
def test_the_cap_is_kept_while_answers_cost_no_more_than_was_held_back(
    asked: list[tuple[int, int, float]], cap: int
) -> None:
    noted: list[Spent] = []
    meter = Meter(Budget(tokens=cap), note=noted.append)
    for prompt, most, share in asked:
        dearest = Spent(1, prompt, most)
        try:
            meter.reserve(dearest)
        except BudgetSpentError:
            assert meter.spent.tokens + dearest.tokens > cap
            continue
        meter.settle(dearest, Spent(1, prompt, int(most * share)))
    assert meter.spent.tokens <= cap
    meter.tell()
    assert sum(noted, Spent()) == meter.spent


def test_money_is_counted_by_the_prices() -> None:
    meter = Meter(Budget(usd=0.01), Prices(input=1.0, output=10.0))
    dearest = Spent(1, 1000, 500)  # 0.001 + 0.005
    meter.reserve(dearest)
    meter.settle(dearest, dearest)
    with pytest.raises(BudgetSpentError, match=r"0\.0060 of 0\.0100 US dollars.*may cost 0\.0060"):
        meter.reserve(dearest)
    meter.reserve(Spent(1, 1000, 300))


def test_several_threads_wait_for_one_another_and_never_pass_the_cap() -> None:
    meter, lock, most = Meter(Budget(tokens=1000)), threading.Lock(), [0]
    dearest, used = Spent(1, 100, 200), Spent(1, 10, 10)

    def ask(_: int) -> bool:
        try:
            meter.reserve(dearest)
        except BudgetSpentError:
            return False
        with lock:
            most[0] = max(most[0], meter.spent.tokens)
        meter.settle(dearest, used)
        return True

    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(ask, range(60)))
    # 20 tokens each: as long as 300 more fit beside what is spent.
    assert sum(sent) == 36
    assert meter.spent.tokens == 720


def test_a_request_that_failed_unbilled_costs_nothing() -> None:
    meter = Meter(Budget(tokens=10))
    for _ in range(5):
        meter.reserve(Spent(1, 5, 5))
        meter.settle(Spent(1, 5, 5), Spent())
    assert meter.spent == Spent()


def test_what_was_spent_before_counts() -> None:
    meter = Meter(Budget(tokens=100), spent=Spent(3, 50, 45))
    with pytest.raises(BudgetSpentError, match="95 of 100 tokens"):
        meter.reserve(Spent(1, 3, 3))


def test_a_budget_is_raised_where_it_has_a_cap() -> None:
    assert raised(Budget(usd=1.0), 2.0, 500) == Budget(usd=3.0)
    assert raised(Budget(tokens=10), 2.0, 500) == Budget(tokens=510)
    assert raised(None, 1.0, 1) is None


def test_a_server_is_told_of_once() -> None:
    said: list[tuple[str, str]] = []
    meter = Meter(said=lambda model, fingerprint: said.append((model, fingerprint)))
    for fingerprint in ("a", "a", "b", "a"):
        meter.server_said("m", fingerprint)
    assert said == [("m", "a"), ("m", "b")]


def test_many_requests_are_told_of_in_few_words_and_none_is_left_out() -> None:
    noted: list[Spent] = []
    now = [0.0]
    meter = Meter(note=noted.append, clock=lambda: now[0])
    for _ in range(3 * TOLD_REQUESTS):
        meter.settle(Spent(), Spent(1, 10, 5))
    assert noted == [Spent(TOLD_REQUESTS, 10 * TOLD_REQUESTS, 5 * TOLD_REQUESTS)] * 3
    now[0] += TOLD_SECONDS
    meter.settle(Spent(), Spent(1, 10, 5))
    assert noted[3:] == [Spent(1, 10, 5)], "a slow service is told of soon, too"
    meter.settle(Spent(), Spent(1, 10, 5))
    assert len(noted) == 4
    meter.tell()
    meter.tell()
    assert noted[4:] == [Spent(1, 10, 5)]

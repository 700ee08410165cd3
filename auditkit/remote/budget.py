"""What a service may cost: prices, a cap, and a meter that no request gets past whose dearest answer would not fit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from auditkit.errors import RunError

# What is spent is told on after so many requests or seconds: so much a killed process may forget that it spent.
TOLD_REQUESTS, TOLD_SECONDS = 256, 10.0


class BudgetSpentError(RunError):
    """The policy's budget is used up."""


class Budget(BaseModel):
    """The most that a model may cost in one run, resumed ones counted from their beginning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: (
        Annotated[float, Field(gt=0, le=1e9, description="US dollars, by the prices that the policy states.")] | None
    ) = None
    tokens: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Prompts and answers together.")


@dataclass(frozen=True)
class Spent:
    """What was asked and answered; tokens as the service counts them."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    @property
    def tokens(self) -> int:
        """Prompts and answers together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens."""

    input: float = 0.0
    output: float = 0.0

    def usd(self, spent: Spent) -> float:
        """What it costs."""
        return (spent.input_tokens * self.input + spent.output_tokens * self.output) / 1e6


class Meter:
    """Counts what a run spends on one model, over all its threads, and holds it to the budget.

    A request is let through where its dearest answer still fits beside all that is spent or under way, so the cap is
    never passed so long as the service bills what it says. ``note`` is told of all that is spent, many requests at a
    time: what it keeps does not grow with each of a million.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        prices: Prices | None = None,
        spent: Spent | None = None,
        note: Callable[[Spent], None] = lambda _: None,
        said: Callable[[str, str], None] = lambda _model, _fingerprint: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget or Budget()
        self.prices = prices or Prices()
        self.spent = spent or Spent()
        self._note = note
        self._said = said
        self._known: set[tuple[str, str]] = set()
        self._reserved = Spent()
        self._untold = Spent()
        self._clock = clock
        self._told_at = clock()
        self._changed = threading.Condition()  # a reentrant lock

    def reserve(self, dearest: Spent) -> None:
        """Wait until a request fits the budget, and count it as under way.

        Raises:
            BudgetSpentError: it does not, though nothing else is under way.
        """
        with self._changed:
            while not self._fits(self.spent + self._reserved + dearest):
                if self._reserved == Spent():
                    raise self._used_up(dearest)
                self._changed.wait()
            self._reserved += dearest

    def settle(self, reserved: Spent, used: Spent) -> None:
        """What a request under way has come to; nothing where ``used`` is empty."""
        with self._changed:
            self._reserved = Spent(
                self._reserved.requests - reserved.requests,
                self._reserved.input_tokens - reserved.input_tokens,
                self._reserved.output_tokens - reserved.output_tokens,
            )
            self._count(used)
            self._changed.notify_all()

    def tell(self) -> None:
        """Have ``note`` know of all that is spent so far."""
        with self._changed:
            if self._untold != Spent():
                self._note(self._untold)
            self._untold, self._told_at = Spent(), self._clock()

    def server_said(self, model: str, fingerprint: str) -> None:
        """What a service calls itself; told on once for each."""
        with self._changed:
            if (model, fingerprint) not in self._known:
                self._known.add((model, fingerprint))
                self._said(model, fingerprint)

    def _count(self, used: Spent) -> None:
        if used != Spent():
            self.spent += used
            self._untold += used
            if self._untold.requests >= TOLD_REQUESTS or self._clock() - self._told_at >= TOLD_SECONDS:
                self.tell()

    def _fits(self, total: Spent) -> bool:
        usd, tokens = self.budget.usd, self.budget.tokens
        return (usd is None or self.prices.usd(total) <= usd) and (tokens is None or total.tokens <= tokens)

    def _used_up(self, dearest: Spent) -> BudgetSpentError:
        usd = self.budget.usd
        if usd is not None and self.prices.usd(self.spent + dearest) > usd:
            told = (
                f"{self.prices.usd(self.spent):,.4f} of {usd:,.4f} US dollars are spent, and the next request may "
                f"cost {self.prices.usd(dearest):,.4f}"
            )
        else:
            told = (
                f"{self.spent.tokens:,} of {self.budget.tokens or 0:,} tokens are spent, and the next request may "
                f"take {dearest.tokens:,}"
            )
        return BudgetSpentError(
            f"the budget of the policy is used up: {told}",
            "what was answered is kept: raise it with --more-usd or --more-tokens, and --resume",
        )


def raised(budget: Budget | None, usd: float, tokens: int) -> Budget | None:
    """A budget with more in it; what has no cap needs none."""
    if budget is None:
        return None
    more: dict[str, float | int] = {}
    if budget.usd is not None:
        more["usd"] = budget.usd + usd
    if budget.tokens is not None:
        more["tokens"] = budget.tokens + tokens
    return budget.model_copy(update=more)


def one_request(input_tokens: int, output_tokens: int) -> Spent:
    """A request and what it takes."""
    return Spent(1, input_tokens, output_tokens)

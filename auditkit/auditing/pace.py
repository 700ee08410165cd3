"""How fast a stage gets on and how long it will take, in numbers and in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]


@dataclass(eq=False)
class Pace:
    """A stage of ``total`` units, ``before`` of which an earlier process had finished.

    ``done`` includes these; rates are those of this process alone. Times are seconds of ``clock``.
    """

    total: int
    before: int = 0
    clock: Clock = time.monotonic
    done: int = 0
    tokens: int = 0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.done = self.done or self.before
        self.started = self.clock()

    def add(self, done: int, tokens: int = 0) -> None:
        """So many more units and tokens are finished."""
        self.done += done
        self.tokens += tokens

    @property
    def seconds(self) -> float:
        """Since the stage began in this process."""
        return self.clock() - self.started

    @property
    def here(self) -> int:
        """Units that this process finished."""
        return self.done - self.before

    @property
    def left(self) -> float | None:
        """Seconds until the end at the rate so far; None where nothing is finished yet, or nothing is left."""
        return seconds_left(self.total, self.done, self.here, self.seconds)

    @property
    def rate(self) -> str:
        """``431 tokens/s``, or units a second; "" before there is one."""
        return rate_words(self.here, self.tokens, self.seconds)

    def __str__(self) -> str:
        """``1,024 of 20,000, 431 tokens/s, about 3 min left``; of a single unit only how long it has taken."""
        if self.total == 1:
            return f"for {humane(self.seconds)} now"
        told = [f"{self.done:,} of {self.total:,}", self.rate]
        if self.left is not None:
            told.append(f"about {humane(self.left)} left")
        elif not self.here:
            told.append(f"none in {humane(self.seconds)} yet")
        return ", ".join(filter(None, told))


def seconds_left(total: int, done: int, here: int, seconds: float) -> float | None:
    """What ``total`` - ``done`` units take, where ``here`` of them took ``seconds``."""
    if here <= 0 or done >= total:
        return None
    return (total - done) * seconds / here


def rate_words(here: int, tokens: int, seconds: float) -> str:
    """``431 tokens/s``, ``12 /s`` or, below one a second, ``5.0 /min``; "" where nothing is finished."""
    amount, unit = (tokens, " tokens/") if tokens else (here, " /")
    if amount <= 0 or seconds <= 0:
        return ""
    a_second = amount / seconds
    if a_second >= 1:
        return f"{a_second:,.0f}{unit}s" if a_second >= 10 else f"{a_second:.1f}{unit}s"
    return f"{a_second * 60:.1f}{unit}min"


def humane(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 10 min``, ``3 d 4 h``: as exact as anybody wants to know."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(whole / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"

"""What each rule of a gate needs, as a table of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from auditkit.report.base import RulePower
from auditkit.report.safe_text import safe_line

WIDTH = 80
NAME = 40  # columns before the figures


def power_table(powers: Sequence[RulePower]) -> list[str]:
    """The heading, then a line for each rule and one for each dataset under it."""
    heading = f"{'power: what each rule needs':<{NAME}}" + _figures(["declared", "to pass", "80 %", "95 %"])
    return [heading, *_lines(powers), "  80 %, 95 %: to fail a true figure of twice the limit with that probability"]


def _lines(powers: Sequence[RulePower]) -> Iterator[str]:
    rule = ""
    for power in powers:
        named = f"{power.metric} of {safe_line(power.attack, 30)} at most {power.limit:g}"
        if named != rule:
            yield f"  {named}"
            rule = named
        needed = (power.declared, power.to_pass, power.to_detect_80, power.to_detect_95)
        name = f"    {safe_line(power.dataset, 20)}: {_UNITS.get(power.unit, power.unit)}"
        yield f"{name:<{NAME}}" + _figures(["-" if amount is None else f"{amount:,}" for amount in needed])
        yield from wrap(power.note, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _figures(columns: Sequence[str]) -> str:
    return "".join(f"{column:>10}" for column in columns)


_UNITS = {"members, and as many controls": "members"}

"""What a large run needs, stage by stage, from measured rates: `python -m benchmarks.scaling`.

Nothing here is measured and nothing guessed: a rate that is not given is "unknown", and so is what follows from it.
docs/scaling.md says where the rates come from, and a test holds its table to what this prints.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Size:
    """A run: one attack on one dataset in one view."""

    generations: int = 1_000_000
    records: int = 939_344
    tokens: int = 512  # of a generation, at most
    characters: int = 1_000  # of a text, as in the measurements of string search
    width: int = 384  # numbers of a vector
    unit: int = 4_096  # engine.texts_in_unit


@dataclass(frozen=True)
class Rates:
    """Per device or core; None where nobody has measured it."""

    tokens_per_second: float | None = None  # one GPU, or one machine, that generates
    texts_per_second: float | None = None  # one core, or one GPU, that embeds
    vector_pairs_per_core: float = 64_000 * 64_000 / 23.2 / 2  # docs/performance.md: all three answers, 2 cores
    levenshtein_pairs_per_core: float = 100_000 * 939_344 / 491 / 2  # from 0.8, texts of 100 to 2,000 characters
    indel_pairs_per_core: float = 20_000 * 20_000 / 63.4 / 2  # from 0.8: the slower of the two by far
    price_per_gpu_hour: float | None = None
    price_per_core_hour: float | None = None


@dataclass(frozen=True)
class Need:
    """One line of the table."""

    stage: str
    formula: str
    hours: float | None
    unit: str


def needs(size: Size, rates: Rates) -> list[Need]:
    """Hours of one device or core for each stage; divide by how many there are."""
    pairs = size.generations * size.records
    tokens = size.generations * size.tokens
    texts = size.generations + size.records
    return [
        Need("generate", "generations x tokens / rate", _hours(tokens, rates.tokens_per_second), "GPU-hours"),
        Need("embed", "(generations + records) / rate", _hours(texts, rates.texts_per_second), "device-hours"),
        Need("compare vectors", "pairs / rate", _hours(pairs, rates.vector_pairs_per_core), "core-hours"),
        Need("match, Levenshtein", "pairs / rate", _hours(pairs, rates.levenshtein_pairs_per_core), "core-hours"),
        Need("match, Indel", "pairs / rate", _hours(pairs, rates.indel_pairs_per_core), "core-hours"),
    ]


def disk(size: Size) -> dict[str, float]:
    """Bytes on the driver's disk, by what they hold."""
    blocks = -(-size.generations // size.unit)
    return {
        "generations, matches (8 bytes a token)": 8 * size.generations * size.tokens,
        "vectors (4 bytes a number)": 4 * size.width * (size.generations + size.records),
        "parts of the vector search (16 bytes a record and block, 16 a generation)": 16
        * (blocks * size.records + size.generations),
    }


def money(size: Size, rates: Rates) -> float | None:
    """Of the devices alone; None where a rate or a price is unknown."""
    prices = {"GPU-hours": rates.price_per_gpu_hour, "core-hours": rates.price_per_core_hour}
    prices["device-hours"] = prices["core-hours"]
    costs = [(need.hours, prices[need.unit]) for need in needs(size, rates)]
    if any(hours is None or price is None for hours, price in costs):
        return None
    return sum(hours * price for hours, price in costs if hours is not None and price is not None)


def table(size: Size, rates: Rates) -> str:
    """As Markdown."""
    lines = ["| stage | hours = | result |", "|---|---|---|"]
    for need in needs(size, rates):
        lines.append(f"| {need.stage} | {need.formula} / 3600 | {_told(need.hours, need.unit)} |")
    lines += ["", "| on the driver's disk | GiB |", "|---|---|"]
    lines += [f"| {what} | {found / GIB:.1f} |" for what, found in disk(size).items()]
    cost = money(size, rates)
    lines += ["", f"Money: {'unknown' if cost is None else f'{cost:,.0f}'}"]
    return "\n".join(lines)


def _hours(work: float, rate: float | None) -> float | None:
    return None if rate is None else work / rate / 3600


def _told(hours: float | None, unit: str) -> str:
    return "unknown" if hours is None else f"{hours:,.1f} {unit}"


def main() -> None:
    """The table for the rates and sizes on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, kind in {"generations": int, "records": int, "tokens": int, "width": int, "unit": int}.items():
        parser.add_argument(f"--{name}", type=kind, default=getattr(Size(), name))
    parser.add_argument("--tokens-per-second", type=float, help="of one GPU that generates")
    parser.add_argument("--texts-per-second", type=float, help="of one core or GPU that embeds")
    parser.add_argument("--price-per-gpu-hour", type=float)
    parser.add_argument("--price-per-core-hour", type=float)
    given = parser.parse_args()
    sizes = {name: getattr(given, name) for name in ("generations", "records", "tokens", "width", "unit")}
    rates = {
        name: getattr(given, name)
        for name in ("tokens_per_second", "texts_per_second", "price_per_gpu_hour", "price_per_core_hour")
    }
    print(table(Size(**sizes), Rates(**rates)))


if __name__ == "__main__":
    main()

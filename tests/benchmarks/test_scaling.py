"""The numbers of docs/scaling.md are those that its script derives from the rates that it names."""

from __future__ import annotations

from pathlib import Path

from benchmarks.scaling import Rates, Size, disk, money, needs, table

DOC = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_the_documents_table_is_the_scripts() -> None:
    assert table(Size(), Rates(texts_per_second=2000)) in DOC.read_text()


def test_what_nobody_measured_is_unknown() -> None:
    assert [need.stage for need in needs(Size(), Rates()) if need.hours is None] == ["generate", "embed"]
    assert money(Size(), Rates(tokens_per_second=1000)) is None


def test_hours_and_money_follow_the_rates() -> None:
    size = Size(generations=3600, records=3600, tokens=100)
    rates = Rates(100, 2, 3600, 3600, 3600, price_per_gpu_hour=2, price_per_core_hour=0.5)
    assert [need.hours for need in needs(size, rates)] == [1, 1, 1, 1, 1]
    assert money(size, rates) == 2 + 4 * 0.5


def test_disk_grows_with_what_is_kept() -> None:
    assert sum(disk(Size(generations=2_000_000)).values()) > sum(disk(Size()).values())

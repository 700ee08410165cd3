"""What runs under way have kept of their generations so far."""

from __future__ import annotations

from pathlib import Path


def kept_parts(runs: Path) -> list[Path]:
    """The parts in the scratch folders of all runs in a folder; none where there is no such folder."""
    return [part for run in runs.glob("*") for part in (run / "work").glob("generations-*.parquet")]

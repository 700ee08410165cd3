"""The curve of the attacker's budget as a picture of its own, for a page that is no report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from auditkit.files import write_bytes
from auditkit.lab.worth_result import FamilyWorth
from auditkit.report.svg import PAPER, drawing, to_svg
from auditkit.report.worth_charts import worth_charts


def picture_name(family: FamilyWorth) -> str:
    """The picture's file."""
    return f"worth-seed-{family.seed}.svg"


def write_pictures(families: Iterable[FamilyWorth], out: Path) -> None:
    """One SVG file a family that has scores, for the owner only."""
    with drawing():
        for family in families:
            for name, caption, figure in worth_charts(family.worth):
                figure.set_facecolor(PAPER)
                write_bytes(out / picture_name(family), str(to_svg(figure, name, caption)).encode())

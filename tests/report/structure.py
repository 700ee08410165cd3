"""The structure tree of a tagged PDF, as a screen reader walks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pikepdf


class TaggedPdf:
    """A PDF with its tags as (name, element) in reading order."""

    def __init__(self, path: Path) -> None:
        self.pdf = pikepdf.open(path)
        self.root: Any = self.pdf.Root
        self.tags = list(_walk(self.root.StructTreeRoot.K))

    def named(self, *names: str) -> list[Any]:
        """Every element with one of these tags."""
        return [element for name, element in self.tags if name in names]

    def annotations(self) -> Iterator[Any]:
        """Every annotation of every page."""
        for page in self.pdf.pages:
            yield from page.get("/Annots", [])

    def bookmarks(self) -> list[tuple[int, str]]:
        """Level and title of every bookmark, in order."""
        with self.pdf.open_outline() as outline:
            return list(_titles(outline.root, 1))


def _walk(kids: Any) -> Iterator[tuple[str, Any]]:
    """Depth first; marked content (numbers) and references to annotations are no elements."""
    for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
        if isinstance(kid, pikepdf.Dictionary) and "/S" in kid:
            yield str(kid.S)[1:], kid
            yield from _walk(kid.get("/K", pikepdf.Array()))


def _titles(items: Any, level: int) -> Iterator[tuple[int, str]]:
    for item in items:
        yield level, item.title
        yield from _titles(item.children, level + 1)

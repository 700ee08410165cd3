"""Matplotlib's SVG made fit to stand inline in a document: small, deterministic, ids unique, colours themable."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any
from warnings import catch_warnings, filterwarnings

from markupsafe import Markup, escape

from auditkit.report.safe_text import safe_line

# Drawn in these; on the screen each becomes a variable of the style sheet (svg_screen.py).
INK, MUTED, RULE, PAPER = "#1b2027", "#5a6370", "#d3d8de", "#fefefe"
FAIL, PASS, UNSURE = "#9c2a22", "#2f6b4f", "#94630a"
FIRST, SECOND = "#1f4e79", "#c07a1e"

_STYLE: Any = {
    "svg.hashsalt": "auditkit",
    "svg.fonttype": "none",  # text stays text: selectable, small, and in the document's language
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.facecolor": PAPER,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.borderpad": 0.2,
    "legend.fontsize": 7,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
}

_PROLOGUE = re.compile(r"\A.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_STYLE_SHEET = re.compile(r"\s*<style[^>]*>.*?</style>", re.DOTALL)  # inline, its "*" would reach the whole page
_IDS = re.compile(r'\sid="([^"]*)"')
_REFERENCES = re.compile(r'(?:xlink:href|href)="#([^"]+)"|url\(#([^)]+)\)')


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib's defaults with our style, whatever the user's own settings say; restored afterwards."""
    import matplotlib

    with matplotlib.rc_context(), catch_warnings():
        # Text stays text, so a letter that matplotlib's font lacks is drawn by the reader's.
        filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def label(text: str, limit: int = 60) -> str:
    """A text as matplotlib takes it: visible, short, and never read as mathematics."""
    return safe_line(text, limit).replace("$", r"\$")


def to_svg(figure: Any, name: str, description: str) -> Markup:
    """A figure as an ``<svg>`` element, with ``name`` before its ids and a description for screen readers."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata=metadata)
    return Markup(_inlined(buffer.getvalue(), name, description))  # noqa: S704 - matplotlib escaped every label


def _inlined(svg: str, name: str, description: str) -> str:
    svg = _STYLE_SHEET.sub("", _METADATA.sub("", _PROLOGUE.sub("", svg, count=1), count=1))
    used = {first or second for first, second in _REFERENCES.findall(svg)}
    svg = _IDS.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = _REFERENCES.sub(
        lambda found: f'xlink:href="#{name}-{found[1]}"' if found[1] else f"url(#{name}-{found[2]})", svg
    )
    attributes = f'role="img" aria-label="{escape(description)}" stroke-linejoin="round"'
    return svg.replace("<svg", f"<svg {attributes}", 1)


def for_paper(svg: Markup, description: str) -> Markup:
    """The same figure as a picture: WeasyPrint then styles one node instead of hundreds."""
    content = b64encode(str(svg).encode()).decode()
    return Markup('<img class="chart" alt="{}" src="data:image/svg+xml;base64,{}">').format(description, content)

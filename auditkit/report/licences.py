"""Licences as CycloneDX writes them: an SPDX id, an SPDX expression, or the text as somebody named it."""

from __future__ import annotations

from typing import Any

from auditkit.report.safe_text import safe_line

LONGEST = 200
NONE_GIVEN = frozenset({"", "none", "unknown"})
_DECLARED = {"acknowledgement": "declared"}  # by whoever made it; auditkit concludes nothing of its own


def licences(text: str) -> list[dict[str, Any]]:
    """The ``licenses`` of a CycloneDX component; empty where none is declared. Case does not matter to an id."""
    from cyclonedx.spdx import fixup_id, is_expression

    text = " ".join(text.split())
    if text.lower() in NONE_GIVEN:
        return []
    if (known := fixup_id(text)) is not None:
        return [{"license": {"id": known, **_DECLARED}}]
    if len(text) <= LONGEST and is_expression(text):
        return [{"expression": text, **_DECLARED}]
    return [{"license": {"name": safe_line(text, LONGEST), **_DECLARED}}]

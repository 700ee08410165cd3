"""Characters that no font here has: shown by number instead of as boxes, and the page says what to install.

The text engine that lays the page out is asked itself, so that its answer and the page cannot differ.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

PLACE = "<!-- fonts -->"  # in the page, where the sentence goes: data are escaped and cannot hold it
MOST_NAMED = 6  # scripts
_MARKUP = re.compile(r"<style>.*?</style>|<[^>]*>", re.DOTALL)


def with_missing_shown(page: str, fonts: Any) -> str:
    """The page with each character that no font has as ⟨U+XXXX⟩, and a sentence about it at PLACE.

    ``fonts``: the FontConfiguration that the page will be laid out with.
    """
    missing = missing_characters(_MARKUP.sub("", page), fonts)
    shown = page.translate({ord(character): f"⟨U+{ord(character):04X}⟩" for character in missing})
    return shown.replace(PLACE, f'<p class="note">{_sentence(missing)}</p>' if missing else "", 1)


def missing_characters(text: str, fonts: Any) -> set[str]:
    """The characters of a text for which neither our fonts nor the system's have a glyph."""
    from weasyprint.text.ffi import ffi, gobject, pango

    ffi.cdef("int pango_layout_get_unknown_glyphs_count(PangoLayout *layout);", override=True)
    context = ffi.gc(pango.pango_font_map_create_context(fonts.font_map), gobject.g_object_unref)
    layout = ffi.gc(pango.pango_layout_new(context), gobject.g_object_unref)

    def unknown(characters: str) -> int:
        pango.pango_layout_set_text(layout, ffi.new("char[]", " ".join(characters).encode()), -1)
        return int(pango.pango_layout_get_unknown_glyphs_count(layout))

    found = sorted({character for character in text if not character.isascii() and not character.isspace()})
    return set(_single_out(found, unknown))


def _single_out(characters: list[str], unknown: Any) -> Iterable[str]:
    """Halve until what has no glyph is found: most pages miss nothing, and one question settles it."""
    if not characters or not unknown("".join(characters)):
        return
    if len(characters) == 1:
        yield characters[0]
        return
    middle = len(characters) // 2
    yield from _single_out(characters[:middle], unknown)
    yield from _single_out(characters[middle:], unknown)


def _sentence(missing: set[str]) -> str:
    """What the reader must know of them."""
    scripts = sorted({_script(character) for character in missing})
    named = ", ".join(scripts[:MOST_NAMED]) + (" and more" if len(scripts) > MOST_NAMED else "")
    return (
        f"Fonts were missing when this page was made: {len(missing):,} different character"
        f"{'' if len(missing) == 1 else 's'} ({named}) are shown by number, such as ⟨U+4E2D⟩. With fonts for these "
        "scripts (Debian: fonts-noto-core, fonts-noto-cjk, fonts-noto-color-emoji), auditkit report renders it again."
    )


def _script(character: str) -> str:
    """The first word of a character's name, which is its script in most cases."""
    return unicodedata.name(character, "UNASSIGNED").split(" ")[0].split("-")[0].capitalize()

"""Which script, and with py3langid which language, a text is written in."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, get_args

from auditkit.errors import AuditkitError, MissingExtraError
from auditkit.worth.filter_section import Script

SCRIPTS: frozenset[str] = frozenset(get_args(Script))
NO_LANGUAGE = frozenset({"zxx", "und"})  # what is not in words; what is not known
SAID = 500  # characters that a language is told from; more cost time and change next to nothing
REMEMBERED = 1 << 16  # texts: what a model gives away it gives away again and again
_FORMS = ("FULLWIDTH", "HALFWIDTH")


def script_share(text: str, scripts: Sequence[str]) -> float | None:
    """The share of the text's letters that belong to these scripts, in [0, 1]; None for a text without letters.

    A letter's script is the first word of its Unicode name, so letters that scripts share (a modifier, a mathematical
    letter) count for none. It says nothing of the language.
    """
    if text.isascii():
        return float("latin" in scripts) if any(map(str.isalpha, text)) else None
    found: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if (script := script_of(character)) is not None:
            found[script] += count
    return sum(found[script] for script in set(scripts)) / found.total() if found else None


@lru_cache(maxsize=1 << 16)
def script_of(character: str) -> str | None:
    """The script of a letter; None for anything else, and for scripts without a name here."""
    if not character.isalpha():
        return None
    words = unicodedata.name(character, "").split() or [""]
    first = words[1] if words[0] in _FORMS and len(words) > 1 else words[0]
    script = "han" if first == "CJK" else first.lower()
    return script if script in SCRIPTS else None


def speaks(languages: Sequence[str], confidence: float) -> Callable[[str], bool]:
    """A test of whether a text is in one of these languages, as far as py3langid can tell.

    What it is less sure of than ``confidence``, and what holds no words, passes. Its first 500 characters are read.

    Raises:
        MissingExtraError: py3langid is not installed.
        AuditkitError: it knows no such language.
    """
    identifier = _identifier()
    if unknown := sorted(set(languages) - set(identifier.labels)):
        raise AuditkitError(
            f"worth.filter.languages: py3langid knows no language {', '.join(unknown)}",
            f"one of: {', '.join(sorted(set(identifier.labels) - NO_LANGUAGE))}",
        )
    wanted = NO_LANGUAGE | set(languages)

    @lru_cache(maxsize=REMEMBERED)
    def spoken(said: str) -> bool:
        found, sure = identifier.classify(said)
        return found in wanted or sure < confidence

    return lambda text: spoken(text[:SAID])


@cache
def _identifier() -> Any:
    """The one that tells probabilities; its model lies in the wheel."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise MissingExtraError("py3langid, which tells languages apart,", "languages") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

"""Scripts are told by their letters; languages by py3langid, where it is installed."""

from __future__ import annotations

import sys

import pytest

from auditkit.errors import AuditkitError, MissingExtraError
from auditkit.worth.base import LANGUAGE, SCRIPT, FilterSection
from auditkit.worth.filtering import filtered
from auditkit.worth.languages import _identifier, script_share, speaks
from tests.worth.judging import extraction

TEXTS = {
    "en": "Where did the parcel go that you sent to the harbour last week?",
    "de": "Wohin ist das Paket gegangen, das Sie letzte Woche zum Hafen geschickt haben?",
    "fr": "Où est passé le colis que vous avez envoyé au port la semaine dernière ?",
}


@pytest.mark.parametrize(
    ("text", "scripts", "share"),
    [
        ("plain", ["latin"], 1.0),
        ("plain", ["greek"], 0.0),
        ("naïve Ωμέγα", ["latin"], 0.5),
        ("naïve Ωμέγα", ["latin", "greek"], 1.0),
        ("東京とパリ", ["han", "hiragana", "katakana"], 1.0),
        ("東京とパリ", ["han"], 0.4),
        ("Ｆｕｌｌ", ["latin"], 1.0),
        ("мир", ["cyrillic", "cyrillic"], 1.0),
        ("𝑥² + 1", ["latin"], None),
        ("12 + 4 = 16", ["latin"], None),
        ("", ["latin"], None),
    ],
)
def test_the_share_of_letters_in_a_script(text: str, scripts: list[str], share: float | None) -> None:
    assert script_share(text, scripts) == share


def test_another_script_is_dropped_and_no_letters_are_kept() -> None:
    given = [extraction(0), extraction(1, "Кто это?", "Никто."), extraction(2, "1 + 2 = ?", "3")]
    found = filtered(given, FilterSection(scripts=("latin",)))
    assert found.dropped == {1: SCRIPT}


def test_another_language_is_dropped_and_what_is_in_no_words_is_kept() -> None:
    pytest.importorskip("py3langid")
    given = [extraction(number, text, text) for number, text in enumerate(TEXTS.values())]
    given.append(extraction(9, "12 + 4", "16"))
    assert filtered(given, FilterSection(languages=("en",))).dropped == {1: LANGUAGE, 2: LANGUAGE}
    assert filtered(given, FilterSection(languages=("de", "fr"))).dropped == {0: LANGUAGE}


def test_a_language_that_nobody_knows_is_refused() -> None:
    pytest.importorskip("py3langid")
    with pytest.raises(AuditkitError, match="no language qq") as caught:
        speaks(["en", "qq"], 0.5)
    assert "de" in caught.value.hint
    assert "zxx" not in caught.value.hint


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    _identifier.cache_clear()
    with pytest.raises(MissingExtraError, match="languages"):
        filtered([], FilterSection(languages=("en",)))

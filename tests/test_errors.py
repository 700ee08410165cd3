"""What errors say on a terminal: names of files are somebody else's words."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import AuditkitError, Problem, ProblemsError, visible


@given(st.text(st.characters(codec=None)))
def test_nothing_unseen_or_acting_stays(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(visible(text)) == visible(text)


@given(st.text("abc äß漢字é🙂 =<>&"))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_every_error_is_told_escaped() -> None:
    name = "a\x1b[31m\u202e\nerror: all is well"
    problem = Problem(Path(name), 3, f"no {name}", f"rename {name}")
    for told in (str(problem), str(ProblemsError([problem, problem])), str(AuditkitError(name, name))):
        assert not set("\x1b\u202e") & set(told)
    assert "\nerror" not in str(problem)
    assert "\\x1b[31m" in str(problem)

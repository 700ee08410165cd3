"""Controls that repeat a member: they were trained on after all, and would hide a leak."""

from __future__ import annotations

from auditkit.corpus.base import Corpus
from auditkit.records import View


def exact_overlap(members: Corpus, controls: Corpus, view: View = "prompt") -> list[tuple[int, int]]:
    """(member index, control index) of each control whose text is, to the letter, that of a member.

    ``view`` "prompt" compares prompts, which every repeated record shares too; "record" whole records only, for
    datasets in which one prompt is asked many times. A control is paired with the first member that it repeats.
    Texts are compared as normalised.
    """
    first: dict[str, int] = {}
    for index, text in enumerate(members.texts(view)):
        first.setdefault(text, index)
    pairs = ((first.get(text), index) for index, text in enumerate(controls.texts(view)))
    return [(member, control) for member, control in pairs if member is not None]

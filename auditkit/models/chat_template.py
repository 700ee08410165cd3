"""What a chat template puts around the turns: the attack prefix, and the marks between the turns.

Everything is read off renderings of marker texts, made in a sandboxed child process; nothing is known of any model
family. The bare opening of a user's turn, without the template's default system text, no template prints at the
start of a conversation; it is read off a later user's turn, and checked against the first.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from auditkit.errors import TemplateError
from auditkit.models.template_probe import (
    ANSWER,
    DIALECTS,
    LONG,
    NEUTRAL,
    SYSTEM,
    USER,
    Case,
    System,
    probe,
    split_at,
)
from auditkit.models.template_turns import Turns
from auditkit.records import TurnFormat

SYSTEMS: tuple[System, ...] = (None, "", NEUTRAL, SYSTEM)


def template_prefix(
    chat_template: Any,
    *,
    bos_token: str = "",
    eos_token: str = "",
    system: str | None = None,
    date: datetime.date | None = None,
) -> str:
    """The text that a chat template emits before the first user content [Barbero 2025, sec. 3.1].

    Args:
        chat_template: the template's text, a transformers tokenizer, or named templates as a tokenizer's
            configuration has them (the one called "default" counts).
        bos_token: as the tokenizer has it; a tokenizer's own are used where this is empty.
        eos_token: likewise.
        system: None keeps the template's own default system text. "" leaves the system turn out; a template that
            refuses to go without one gets an empty one. Any other text becomes the system message.
        date: what ``strftime_now`` answers; today by default.

    Raises:
        TemplateError: there is no template, it breaks a limit of the sandbox, or refuses what is asked.
    """
    reading = _Reading.of(chat_template, bos_token, eos_token, date)
    if system is None:
        return reading.turns.default
    return reading.bare() if system == "" else reading.with_system(system)


def turn_format(
    chat_template: Any, *, bos_token: str = "", eos_token: str = "", date: datetime.date | None = None
) -> TurnFormat:
    """How a chat template marks turns: parameters as in `template_prefix`.

    ``turn_change`` and ``assistant_close`` are what a conversation of one question and one answer has between the
    two and after the answer; ``user_open`` is what opens a user's turn, without what opens the whole text.

    Raises:
        TemplateError: as `template_prefix`, or the template prints no answer.
    """
    return _Reading.of(chat_template, bos_token, eos_token, date).format()


def default_template(chat_template: Any) -> str:
    """The text of the template that is used when none is asked for by name.

    Takes a text, a dict of named templates or a list of {name, template}, as tokenizers carry them.

    Raises:
        TemplateError: no text, or several names and none of them "default".
    """
    if isinstance(chat_template, str):
        return chat_template
    named: dict[Any, Any] = {}
    if isinstance(chat_template, Mapping):
        named = dict(chat_template)
    elif isinstance(chat_template, Sequence):
        entries = [entry for entry in chat_template if isinstance(entry, Mapping)]
        named = {str(entry.get("name")): entry.get("template") for entry in entries}
    chosen = next(iter(named.values())) if len(named) == 1 else named.get("default")
    if isinstance(chosen, str):
        return chosen
    raise TemplateError(
        "there is no chat template" if not named else "none of the named chat templates is called 'default'",
        "give the text of the template that the model was aligned with",
    )


@dataclass(frozen=True)
class _Reading:
    """One template, and what it prints around its turns.

    ``turns.system`` stands in for no system message: None, or "" or a neutral text where absence is refused.
    """

    template: str
    date: datetime.date
    turns: Turns

    @classmethod
    def of(cls, chat_template: Any, bos_token: str, eos_token: str, date: datetime.date | None) -> _Reading:
        if not isinstance(chat_template, str | Mapping | Sequence):  # a tokenizer
            bos_token = bos_token or str(getattr(chat_template, "bos_token", None) or "")
            eos_token = eos_token or str(getattr(chat_template, "eos_token", None) or "")
            chat_template = getattr(chat_template, "chat_template", None)
        text, day = default_template(chat_template), date or datetime.date.today()
        answers = probe(text, bos_token, eos_token, day, SYSTEMS)
        for system in (None, "", NEUTRAL):
            found = list(_openings(Turns(answers, DIALECTS[0], system, "", bos_token, eos_token)))
            if found:
                answered = (turns for turns in found if answers.answers_in(turns.dialect, system))
                return cls(text, day, next(answered, found[0]))
        raise TemplateError(
            f"the chat template {answers.complaint()}", 'set the attack\'s prefix by hand: prefix: {literal: "..."}'
        )

    def bare(self) -> str:
        """The opening without system text, where the template can do without."""
        return self.turns.bare_opening() if self.turns.system is None else self.turns.default

    def with_system(self, text: str) -> str:
        """The opening with this system text, which must really be printed."""
        turns = self.turns
        if turns.answers.opening(turns.dialect, SYSTEM) is None:
            raise TemplateError(f"with a system message the chat template {turns.answers.complaint(SYSTEM)}")
        if turns.around_system() is None:
            raise TemplateError("the chat template leaves the system message out")
        asked = probe(self.template, turns.bos_token, turns.eos_token, self.date, (text,))
        opening = asked.opening(turns.dialect, text)
        if opening is None:
            raise TemplateError(f"with this system text the chat template {asked.complaint(text)}")
        return opening

    def format(self) -> TurnFormat:
        """The marks between the turns, off one question and answer, or off several where that does not show them."""
        turns = self.turns
        pair = turns.answers.between(Case(turns.dialect, turns.system, (USER, ANSWER)))
        several = turns.answers.between(Case(turns.dialect, turns.system, LONG))
        shown = pair or several
        if shown is None:
            raise TemplateError("the chat template does not print the assistant's text after the user's")
        change, close, inner = shown[1], shown[2], turns.answer_close()
        if inner is not None and (pair is None or _opens_another_answer(close, inner, change)):
            close = inner
        if split_at(change, (USER,)) or split_at(close, (ANSWER,)):
            raise TemplateError("the chat template prints a message's text more than once")
        opening = turns.user_open() or turns.default
        if turns.bos_token and turns.bos_token not in change:  # a text's opening, not what opens every turn
            opening = opening.removeprefix(turns.bos_token)
        return TurnFormat(opening, change, close)


def _openings(blank: Turns) -> Iterator[Turns]:
    """One reading for each dialect in which the template prints the user's text, as the user's."""
    for dialect in DIALECTS:
        opening = blank.answers.opening(dialect, blank.system)
        if opening is not None:
            turns = replace(blank, dialect=dialect, default=opening)
            if blank.system is not None or not _takes_user_for_system(turns):
                yield turns


def _opens_another_answer(close: str, inner: str, change: str) -> bool:
    """Whether what follows the last answer is its closing and then, always, the opening of another."""
    extra = close.removeprefix(inner)
    return close.startswith(inner) and bool(extra.strip()) and extra in change


def _takes_user_for_system(turns: Turns) -> bool:
    """Whether the template prints its first message as the system's without a look at the role.

    Then what stands before the user's text is the system turn's opening, and later user turns open otherwise.
    """
    around = turns.around_system()
    if around is None or around[0] != turns.default:
        return False
    later = replace(turns, system=SYSTEM, default=around[0] + SYSTEM + around[1]).user_open()
    return later is not None and not turns.default.endswith(later)

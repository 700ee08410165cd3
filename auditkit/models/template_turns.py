"""Where one turn's closing ends and the next one's opening begins, in the text that stands between two contents.

A template prints ``answer + closing + opening + question``; nothing in the text says where the closing ends. Three
things tell: what follows the last content of a conversation, what the system's turn opens with, and that the first
user's turn ends with the same opening.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from auditkit.errors import TemplateError
from auditkit.models.template_probe import (
    ANSWER,
    LONG,
    SYSTEM,
    USER,
    Case,
    Dialect,
    Probe,
    System,
    common_length,
    split_at,
)

SPECIAL = re.compile(r"<[^\s<>]{1,80}>|\[[^\s\[\]]{1,80}\]")
PIECE = re.compile(rf"{SPECIAL.pattern}|\w+|\s|.", re.DOTALL)
# Marks that open a whole text, where a template has them written out and no tokenizer is there to name them.
OPENS_TEXT = re.compile(r"<s>|.*(bos|begin.?of|start.?of.?text|endoftext|gmask|<sop>).*", re.IGNORECASE)


@dataclass(frozen=True)
class Turns:
    """What one template prints around its turns, in one dialect and with one way of having no system text.

    ``default`` is the opening up to the user's first word. It ends with what opens any user's turn or, where the
    system text goes inside the user's turn, has that further in front.
    """

    answers: Probe
    dialect: Dialect
    system: System
    default: str
    bos_token: str = ""
    eos_token: str = ""

    def bare_opening(self) -> str:
        """The conversation's opening without the system text that the template may have of its own.

        Raises:
            TemplateError: there is such a text, and no user's turn is seen without it.
        """
        opening = self.user_open()
        if opening is None:
            return self._only_opening()
        if self.default.endswith(opening) and self._opens_text(self.default.removesuffix(opening)):
            return self.default
        return joined(self._header(), opening)

    def user_open(self) -> str | None:
        """What opens a user's turn in mid-conversation; None where it cannot be told."""
        change = self._change_to_user()
        if change is None:
            return None
        shared = _common_end(change, self.default)
        if shared.strip() and self._starts_without_closing(shared):
            head = self.default.removesuffix(shared)
            if self._opens_text(head):
                return shared  # the conversation opens with no system turn, so nothing else can be in front
        return next((candidate for candidate in self._candidates(change) if self._fits(candidate)), None)

    def answer_close(self) -> str | None:
        """What closes an answer that a user's turn follows; None where it cannot be told."""
        change, opening = self._change_to_user(), self.user_open()
        return None if change is None or opening is None else change[: change.rfind(opening)]

    def around_system(self) -> tuple[str, ...] | None:
        """The opening with a system message, cut at the system text; None where that is not printed."""
        opening = self.answers.opening(self.dialect, SYSTEM)
        return None if opening is None else split_at(opening, (SYSTEM,))

    def _change_to_user(self) -> str | None:
        several = self.answers.between(Case(self.dialect, self.system, LONG))
        return None if several is None else several[2]

    def _closing(self, *turns: str) -> str | None:
        pieces = self.answers.between(Case(self.dialect, self.system, turns))
        return None if pieces is None else pieces[-1]

    def _candidates(self, change: str) -> Iterator[str]:
        """Where the opening may begin in the text before a later user's content, the most trustworthy first."""
        for place in self._places(change):
            candidate = change[place:]
            body = self.default.removeprefix(self.bos_token)
            # A separator between turns is no part of the opening, unless the whole text opens with one.
            yield candidate.lstrip() if candidate[:1].isspace() and not body[:1].isspace() else candidate

    def _places(self, change: str) -> Iterator[int]:
        around = self.around_system()
        if around is not None:
            # Where all roles open alike (<|im_start|>), what opens the system's turn shows the place.
            known = (self.bos_token, self.eos_token)
            marks = SPECIAL.findall(around[0])
            opener = next((mark for mark in marks if mark not in known and not OPENS_TEXT.fullmatch(mark)), None)
            yield from (match.start() for match in SPECIAL.finditer(change) if match.group() == opener)
        for turns in ((USER, ANSWER), (USER,)):
            closing = self._closing(*turns)
            if closing is not None and (place := _common_pieces(change, closing)) >= min(1, len(closing)):
                yield place
        if len(SPECIAL.findall(change)) <= 1:
            yield 0  # one mark cannot be both a closing and an opening

    def _fits(self, opening: str) -> bool:
        """Whether the first user's turn opens so too."""
        if not opening.strip():
            return False
        return self.default.endswith(opening) or self.default.startswith(joined(self._header(), opening))

    def _starts_without_closing(self, text: str) -> bool:
        closing = self._closing(USER, ANSWER) or ""
        return not closing.strip() or _common_pieces(text, closing) == 0

    def _opens_text(self, head: str) -> bool:
        """Whether this is what opens every text (<s>, [gMASK]<sop>), and no system turn, not even an empty one."""
        rest = head.replace(self.bos_token, "") if self.bos_token else head
        if SPECIAL.sub("", rest).strip():
            return False
        if all(OPENS_TEXT.fullmatch(mark) for mark in SPECIAL.findall(rest)):
            return True
        around = self.around_system()
        with_system = "" if around is None else "".join((around[0], SYSTEM, around[1]))
        return around is None or _squeezed(with_system).startswith(_squeezed(head))

    def _header(self) -> str:
        """What opens the whole text in front of a system turn: the leading marks, less the one that opens the turn."""
        marks = _leading_marks(self.default)
        around = self.around_system()
        if around is not None:
            before = _leading_marks(around[0])
            marks = marks[: common_length(marks, before[:-1])]
        else:
            marks = marks[:-1]
        known = list(takewhile(OPENS_TEXT.fullmatch, _leading_marks(self.default)))
        header = "".join(marks if len(marks) > len(known) else known)
        if self.bos_token and self.default.startswith(self.bos_token) and len(header) < len(self.bos_token):
            return self.bos_token
        return header

    def _only_opening(self) -> str:
        """What a template of a single turn opens with, if that holds no system text of its own."""
        around = self.around_system()
        if around is None:
            return self.default  # no place for a system text at all: there is but one opening
        before = common_length(self.default, around[0])
        after = common_length(self.default[::-1], around[1][::-1])
        if before + after >= len(self.default):
            return self.default  # the opening with a system text, less that text and its marks
        empty = self.answers.opening(self.dialect, "")
        if empty is not None and empty != self.default:
            return empty
        raise TemplateError(
            "the chat template has a system text of its own, and shows no opening without it",
            'set prefix: {literal: "..."} by hand',
        )


def joined(header: str, opening: str) -> str:
    """Header and opening, with the marks that both have counted once: "<s>" and "<s>[INST] " give "<s>[INST] "."""
    mine, theirs = PIECE.findall(header), PIECE.findall(opening)
    overlap = next(size for size in range(len(mine), -1, -1) if mine[len(mine) - size :] == theirs[:size])
    return header + "".join(theirs[overlap:])


def _leading_marks(text: str) -> list[str]:
    return list(takewhile(SPECIAL.fullmatch, PIECE.findall(text)))


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _common_pieces(one: str, other: str) -> int:
    """Characters of the longest common beginning that cuts no mark or word in two."""
    mine, theirs = PIECE.findall(one), PIECE.findall(other)
    return sum(map(len, mine[: common_length(mine, theirs)]))


def _common_end(one: str, other: str) -> str:
    """The longest common ending that cuts no mark or word in two."""
    mine, theirs = PIECE.findall(one)[::-1], PIECE.findall(other)[::-1]
    return "".join(mine[: common_length(mine, theirs)][::-1])

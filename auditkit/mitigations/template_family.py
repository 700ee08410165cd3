"""A family of chat templates, so many that none of them marks a distribution.

A template is drawn from role words, their casing, what marks a role (a special token of the tokenizer, or plain text),
on which side of the role it stands, what separates it from the text, and the white space around. All end an answer
with the tokenizer's end of sequence, so that generation stops.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from random import Random
from typing import Any

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.user_text import LINE, LINE_END
from auditkit.records import TurnFormat

# Of the system, the user and the assistant.
ROLES = (
    ("system", "user", "assistant"),
    ("context", "human", "model"),
    ("preface", "question", "answer"),
    ("rules", "instruction", "response"),
    ("briefing", "customer", "agent"),
    ("setting", "input", "output"),
    ("scene", "client", "helper"),
    ("notes", "person", "machine"),
    ("header", "asker", "expert"),
    ("config", "prompt", "completion"),
)
CASINGS = (str.lower, str.capitalize, str.upper)
# What stands before and after a role's word, where no special token does.
PLAIN = (
    ("### ", ""),
    ("## ", ""),
    ("[", "]"),
    ("<<", ">>"),
    ("**", "**"),
    ("== ", " =="),
    ("@", ""),
    ("(", ")"),
    ("", ""),
)
# None ends with a space: a tokenizer would make one token of it and the first word of the text.
SEPARATORS = ("\n", ":\n", ":", "\n\n", " -\n", " >>\n")
LEADS = ("", "\n", "\n\n")  # before an opening
USER_ENDS = ("{eos}\n", "{eos}", "\n", "\n\n")  # after the user's text
CLOSES = ("{eos}\n", "{eos}", "{eos}\n\n")  # after the answer
ORDERS = ("before", "after", "around")  # where a special token stands to the role's word


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer's tokens that templates are made with: texts, "" where it has none.

    ``marks`` are special tokens that may stand beside a role's word: none of those that begin, end or pad a text.
    """

    bos: str
    eos: str
    marks: tuple[str, ...] = ()

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """A transformers tokenizer's.

        Raises:
            MitigationFailedError: it has no end of sequence, so that nothing would end an answer.
        """
        known = {"bos": tokenizer.bos_token, "eos": tokenizer.eos_token}
        if not known["eos"]:
            raise MitigationFailedError(
                "the tokenizer has no end of sequence", "name an eos_token in its configuration"
            )
        others = {tokenizer.pad_token, tokenizer.unk_token, *known.values()}
        added = tokenizer.added_tokens_decoder.values()
        marks = sorted(str(token) for token in added if token.special and str(token) not in others)
        return cls(known["bos"] or "", known["eos"], tuple(marks))


@dataclass(frozen=True)
class Template:
    """One chat template. The openings are what stands before a text of that role, without BOS."""

    system: str
    user: str
    assistant: str
    user_end: str
    close: str

    @property
    def turns(self) -> TurnFormat:
        """How it marks turns."""
        return TurnFormat(self.user, self.user_end + self.assistant, self.close)

    def opening(self, system: str = "") -> str:
        """What stands before the user's text: behind a system turn where one is given."""
        return (self.system + system + self.user_end if system else "") + self.user

    def jinja(self) -> str:
        """The template as a tokenizer carries it; ``bos_token`` in front where the tokenizer has one."""
        turn = "{{{{ {} + message['content'] + {} }}}}"
        texts = {name: json.dumps(text, ensure_ascii=False) for name, text in vars(self).items()}
        return (
            "{{ bos_token }}{% for message in messages %}"
            "{% if message['role'] == 'system' %}" + turn.format(texts["system"], texts["user_end"]) + ""
            "{% elif message['role'] == 'user' %}" + turn.format(texts["user"], texts["user_end"]) + ""
            "{% else %}" + turn.format(texts["assistant"], texts["close"]) + ""
            "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ " + texts["assistant"] + " }}{% endif %}"
        )


@dataclass(frozen=True)
class TemplateFamily:
    """Every template that can be made with one tokenizer's tokens."""

    vocabulary: Vocabulary

    def __len__(self) -> int:
        return len(self._markings) * len(ROLES) * len(CASINGS) * len(LEADS) * len(USER_ENDS) * len(CLOSES)

    def draw(self, rng: Random) -> Template:
        """One of them, each as likely as any other."""
        roles, casing = rng.choice(ROLES), rng.choice(CASINGS)
        system, user, assistant = map(casing, roles)
        mark = rng.choice(self._markings)
        lead, end, close = rng.choice(LEADS), rng.choice(USER_ENDS), rng.choice(CLOSES)
        eos = self.vocabulary.eos
        return Template(
            lead + mark.around(system, 2),
            lead + mark.around(user, 0),
            lead + mark.around(assistant, 1),
            end.format(eos=eos),
            close.format(eos=eos),
        )

    def draws(self, rng: Random, count: int) -> list[Template]:
        """(count,) different ones, or as many as there are."""
        found: dict[Template, None] = {}
        while len(found) < min(count, len(self) // 2):
            found[self.draw(rng)] = None
        return list(found)

    @cached_property
    def _markings(self) -> Sequence[_Marking]:
        return list(_markings(self.vocabulary.marks))


@dataclass(frozen=True)
class _Marking:
    """What stands around a role's word. ``special`` are taken in turn, so that each role may have one of its own."""

    before: str
    after: str
    separator: str
    special: tuple[str, ...] = ()

    def around(self, word: str, role: int) -> str:
        mark = self.special[role % len(self.special)] if self.special else ""
        return self.before.format(mark=mark) + word + self.after.format(mark=mark) + self.separator


def _markings(marks: tuple[str, ...]) -> Iterator[_Marking]:
    for (before, after), separator in product(PLAIN, SEPARATORS):
        if before or after or not separator.isspace():  # a bare word and a blank mark nothing
            yield _Marking(before, after, separator)
    sides = {"before": ("{mark}", ""), "after": ("", "{mark}"), "around": ("{mark}", "{mark}")}
    turned = [marks[at:] + marks[:at] for at in range(len(marks))]
    for order, separator, special in product(ORDERS, SEPARATORS, turned):
        yield _Marking(*sides[order], separator, special)


def family_forms(special: Iterable[str]) -> tuple[str, ...]:
    """Regular expressions of every opening that the family knows, and of some of its neighbours.

    A role's word counts with a special token at its side and, where it begins a line, with plain marks and a separator
    or the line's end behind it, or alone with a separator that is no white space.
    """
    words = "|".join(sorted({re.escape(word) for roles in ROLES for word in roles}))
    tokens = "|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)"
    left, right = r"[#\[<(*=@>{|]{1,6}[ \t]*", r"[ \t]*[\])>*=}|]{1,6}"
    separator = rf"[ \t]*(?::|-(?={LINE_END})|>>)"
    return (
        rf"(?:(?:{tokens})[ \t]*)+(?:{words})\b(?:[ \t]*(?:{tokens}))*(?:{separator})?",
        rf"\b(?:{words})(?:[ \t]*(?:{tokens}))+(?:{separator})?",
        rf"{LINE}{left}(?:{words})(?:{right}(?:{separator})?|{separator}|(?={LINE_END}))",
        rf"{LINE}(?:{words})(?:{right})?{separator}",
    )

"""One sample of a served model under way: what came back so far, read by the rules of the local sampling loop.

A local loop looks at every token as it is written; a server shows them when it stops. So what came back is walked
through afterwards: where the local loop would have ended the sample or appended the turn change, the rest is dropped,
and the next request goes on from there. What was kept is distributed as the local loop's samples are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Literal

from auditkit.models.delimiters import Decode, Delimiters, Ids
from auditkit.models.turns import next_step, read_turns, turn_texts
from auditkit.records import Finish, Generation, Prefix, SamplingRequest, TurnChange

Ended = Literal["stop", "length", "blocked", "failed"]
WITHHELD = "The server withheld this answer."


@dataclass(frozen=True)
class Answer:
    """One sample of one request. ``ids`` are of the text, or the server's own where it shows them.

    ``shown``: whether the stop token, where there is one, stands at the end of the ids.
    """

    ids: Ids
    text: str
    ended: Ended
    shown: bool = False


def answers_as_bytes(answers: Sequence[Answer]) -> bytes:
    """For a file; see ``answers_from``."""
    return json.dumps([astuple(answer) for answer in answers]).encode()


def answers_from(content: bytes) -> list[Answer]:
    """What ``answers_as_bytes`` wrote."""
    return [Answer(tuple(ids), text, ended, shown) for ids, text, ended, shown in json.loads(content)]


@dataclass
class Row:
    """``limit``: new tokens at most, appended ones included."""

    prefix: Prefix
    marks: Delimiters
    decode: Decode
    limit: int
    ids: list[int] = field(default_factory=list)
    appended: tuple[int, int] | None = None
    finish: Finish | None = None
    cut: bool = False  # by the server, before the limit

    @property
    def runs(self) -> bool:
        """Whether there is more to ask for."""
        return self.finish is None and not self.cut and self.room > 0

    @property
    def room(self) -> int:
        """Tokens that may still be written."""
        return self.limit - len(self.ids)

    @property
    def prompt(self) -> Ids:
        """What the next request completes."""
        return (*self.prefix.token_ids, *self.ids)

    def take(self, answer: Answer) -> None:
        """Walk through what came back, up to where it ends or the turn change is appended."""
        before = len(self.ids)
        if answer.ended in ("blocked", "failed"):
            self.ids += answer.ids[: self.room]
            self.finish = answer.ended
            return
        for token in answer.ids[: self.room]:
            self.ids.append(token)
            if token in self.marks.events and self._settled():
                return
        if self.room <= 0:
            return
        if answer.ended == "length":
            self.cut = True
        elif not (answer.shown or self._ends_in_stop()):
            self._stopped_unseen()
        elif len(self.ids) == before:
            self.finish = "stop"  # nothing more comes of asking again

    def _settled(self) -> bool:
        """Whether the sample ends at the last token, or goes on behind an appended turn change."""
        start = len(self.prefix.token_ids)
        after = next_step(self.prompt, start, self.marks, self.decode, self.appended)
        if after.ends:
            self.finish = "stop"
        elif after.append is not None:
            if after.replace:
                self.ids.pop()
            first = start + len(self.ids)
            self.appended = (first, first + len(after.append))
            self.ids += after.append
            del self.ids[self.limit :]
        return after.ends or after.append is not None

    def _ends_in_stop(self) -> bool:
        return bool(self.ids) and self.ids[-1] in self.marks.stops

    def _stopped_unseen(self) -> None:
        """The server stopped at a token that it keeps to itself: as if the stop token of the turn stood there."""
        closing = [token for token in self.marks.change if token in self.marks.stops][:1]
        stop = next(iter(closing or sorted(self.marks.stops)), None)
        if stop is None:
            self.finish = "stop"
            return
        self.ids.append(stop)
        if not self._settled():
            self.finish = "stop"

    def generation(self, request: SamplingRequest, ordinal: int, *, counted: bool) -> Generation:
        """The sample; ``counted``: whether its ids are the model's tokens, and not bytes."""
        sequence, start = self.prompt, len(self.prefix.token_ids)
        reading = read_turns(sequence, start, self.marks, self.appended)
        texts, restarted = turn_texts(reading, self.marks, self.decode)
        finish: Finish = self.finish or ("stop" if restarted or reading.end is not None else "length")
        change: TurnChange = "appended" if self.appended else ("model" if len(texts) > 1 else "none")
        if finish == "blocked" and not any(texts):
            texts, change = (WITHHELD,), "none"
        return Generation(
            attack=request.attack,
            prefix=request.prefix.name,
            ordinal=ordinal,
            seed=request.seed,
            turns=texts,
            token_ids=tuple(sequence[start : reading.end]) if counted else (),
            finish=finish if finish == "failed" or any(texts) else "empty",
            turn_change=change,
        )

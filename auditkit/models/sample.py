"""A sample that is done, as a sampling loop leaves it, read as a generation."""

from __future__ import annotations

from dataclasses import dataclass

from auditkit.models.delimiters import Decode, Delimiters
from auditkit.models.turns import read_turns, turn_texts
from auditkit.records import Finish, Generation, SamplingRequest, TurnChange


@dataclass
class Sample:
    """``ids``: prefix and what came behind it; ``appended``: the range in them of a turn change put in by the attack.

    ``finish``: why it ended, where the loop knows; None while it runs, and where its length ended it.
    """

    ids: list[int]
    appended: tuple[int, int] | None = None
    finish: Finish | None = None

    def generation(self, request: SamplingRequest, row: int, marks: Delimiters, decode: Decode) -> Generation:
        """What came of it: turns told apart, their texts cleaned. ``row`` counts from the request's first ordinal."""
        start = len(request.prefix.token_ids)
        reading = read_turns(self.ids, start, marks, self.appended)
        texts, restarted = turn_texts(reading, marks, decode)
        finish = self.finish or ("stop" if restarted or reading.end is not None else "length")
        change: TurnChange = "appended" if self.appended else ("model" if len(texts) > 1 else "none")
        return Generation(
            attack=request.attack,
            prefix=request.prefix.name,
            ordinal=request.first_ordinal + row,
            seed=request.seed,
            turns=texts,
            token_ids=tuple(self.ids[start : reading.end]),
            finish=finish if finish == "failed" or any(texts) else "empty",
            turn_change=change,
        )

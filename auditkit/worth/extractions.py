"""From generations to what an attacker could train on: a question, an answer, and the final answer in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from auditkit.corpus.base import TraceMarkers
from auditkit.records import Generation
from auditkit.worth.answers import read_answer
from auditkit.worth.base import Extraction


def extractions(generations: Iterable[Generation], trace: TraceMarkers | None = None) -> Iterator[Extraction]:
    """What each generation gives, one at a time and in the given order.

    Args:
        generations: of one attack.
        trace: how the dataset marks reasoning and final answers; the response keeps its reasoning, which is what an
            attacker wants to train on.
    """
    return (extraction(generation, trace) for generation in generations)


def extraction(generation: Generation, trace: TraceMarkers | None = None) -> Extraction:
    """The first turn as the question, what follows as the answer. Nothing is repaired or guessed.

    Complete is what the model ended by itself: not what was cut, failed, or withheld by a server, whose refusal
    stands in the text's place.
    """
    question, *rest = generation.turns or ("",)
    response = "\n".join(turn for turn in rest if turn.strip()).strip()
    return Extraction(
        ordinal=generation.ordinal,
        prompt=question.strip(),
        response=response,
        complete=generation.finish == "stop",
        answer=read_answer(response, trace) if response else None,
    )

"""Reasoning traces: cut by their declared markers, so that question + final answer is compared [Barbero, sec. 5]."""

from __future__ import annotations

from dataclasses import replace

from auditkit.corpus.fields import TraceMarkers
from auditkit.records import Generation


def cut_generation(generation: Generation, markers: TraceMarkers) -> Generation:
    """The generation with its answer cut down to the final answer, as an RL record is; the user's turn stays.

    A trace is cut from the later turns only, so that an end marker without a start does not take the question along.
    """
    question, answer = generation.turns[:1], "\n".join(generation.turns[1:])
    return replace(generation, turns=(*question, final_answer(answer, markers)) if answer else question)


def final_answer(text: str, markers: TraceMarkers) -> str:
    """What is left of a response once its trace is cut: the marked answer, or all of it where none is marked.

    ``markers.answer`` is one of
    ``"\\boxed{}"``: what stands between the balanced braces;
    ``"<answer>{}</answer>"``: what stands between the two ends;
    ``"####"``: the first line that follows.
    Where it occurs several times, the last one counts.
    """
    outside = cut_trace(text, markers)
    return _marked_answer(outside, markers.answer) or outside


def cut_trace(text: str, markers: TraceMarkers) -> str:
    """The text without its traces, trimmed.

    An end without a start (the prompt opened the trace) cuts everything before it; a start without an end (the
    trace ran out of tokens) everything after.
    """
    start, end = markers.start, markers.end
    kept: list[str] = []
    done = 0  # a position, not a shrinking text: a text of a million traces must not be copied a million times
    while start and (at := text.find(start, done)) >= 0:
        kept.append(text[done:at])
        closes = text.find(end, at + len(start)) if end else -1
        done = closes + len(end) if closes >= 0 else len(text)
    rest = "".join([*kept, text[done:]])
    return rest.rpartition(end)[2].strip() if end else rest.strip()


def _marked_answer(text: str, marker: str) -> str:
    if not marker:
        return ""
    opening, slot, closing = marker.partition("{}")
    if not slot:
        return _line_after(text, marker)
    return _between(text, opening, closing) if closing else _in_braces(text, opening)


def _line_after(text: str, marker: str) -> str:
    _, found, after = text.rpartition(marker)
    lines = after.strip().splitlines()
    return lines[0].strip() if found and lines else ""


def _between(text: str, opening: str, closing: str) -> str:
    before, found, _ = text.rpartition(closing)
    return before.rpartition(opening)[2].strip() if found and opening in before else ""


def _in_braces(text: str, opening: str) -> str:
    at = text.rfind(opening + "{")
    if at < 0:
        return ""
    begin = at + len(opening) + 1
    depth = 1
    for position in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin:position].strip()
    return ""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.corpus.fields import TraceMarkers
from auditkit.corpus.trace import cut_generation, cut_trace, final_answer
from auditkit.records import Generation

THINK = TraceMarkers("<think>", "</think>", "\\boxed{}")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("plain", "plain"),
        ("<think>a</think> b", "b"),
        ("a</think>b", "b"),
        ("b<think>never closed", "b"),
        ("<think>a</think>b<think>c</think>d", "bd"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("<think></think>", ""),
    ],
)
def test_traces_are_cut(text: str, rest: str) -> None:
    assert cut_trace(text, THINK) == rest


@pytest.mark.parametrize(
    ("marker", "text", "answer"),
    [
        ("\\boxed{}", "so \\boxed{7}, no: \\boxed{\\frac{1}{2}}!", "\\frac{1}{2}"),
        ("\\boxed{}", "no box at all", "no box at all"),
        ("\\boxed{}", "open \\boxed{1", "open \\boxed{1"),
        ("<answer>{}</answer>", "x <answer> 7 </answer> y", "7"),
        ("<answer>{}</answer>", "x </answer>", "x </answer>"),
        ("####", "9 + 9\n#### 18\nbye", "18"),
        ("####", "no marker", "no marker"),
        ("", "all of it", "all of it"),
    ],
)
def test_the_last_marked_answer_counts(marker: str, text: str, answer: str) -> None:
    assert final_answer(text, TraceMarkers("<think>", "</think>", marker)) == answer


@given(before=st.text(), trace=st.text(), after=st.text())
def test_nothing_of_a_trace_stays(before: str, trace: str, after: str) -> None:
    markers = TraceMarkers("\x01", "\x02")
    before, trace, after = (text.replace("\x01", "").replace("\x02", "") for text in (before, trace, after))
    assert cut_trace(f"{before}\x01{trace}\x02{after}", markers) == (before + after).strip()


def test_a_million_traces_take_no_time() -> None:
    assert cut_trace("<think></think>x" * 200_000, THINK) == "x" * 200_000


def test_a_generation_keeps_its_question() -> None:
    turns = ("What is 1/2?", "hm\n</think>It is \\boxed{0.5}")
    generation = Generation("a", "p", 0, 1, turns, (), "stop", "model")
    assert cut_generation(generation, THINK).view("record") == "What is 1/2?\n0.5"
    cut = Generation("a", "p", 0, 1, turns[:1], (), "length", "none")
    assert cut_generation(cut, THINK).turns == turns[:1]
    assert cut_generation(Generation("a", "p", 0, 1, (), (), "empty", "none"), THINK).turns == ()

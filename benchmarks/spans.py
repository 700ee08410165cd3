"""Every shared span of a pair of texts against difflib, which finds the longest one alone in quadratic time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from auditkit.scoring.strings.spans import MINIMUM, shared_spans
from benchmarks.measure import Entry, Floats, Skipped, compared, in_turn

RECORDS = Path(__file__).resolve().parents[1] / "examples" / "quickstart" / "data" / "sft.jsonl"
PEER = "difflib.SequenceMatcher.find_longest_match"

Pairs = Sequence[tuple[str, str]]


def spans(repeats: int, pairs: int = 40, length: int = 2000) -> list[Entry]:
    """Pairs as leaks are: several records, and the same with a word in twenty replaced; then runs of one letter."""
    return [
        _entry(f"shared spans, {length:,} characters of the example's records", _natural(pairs, length), repeats),
        _entry(f"shared spans, {length:,} characters of runs of one letter", _hostile(length), repeats),
    ]


def _entry(name: str, pairs: Pairs, repeats: int) -> Entry:
    _ours(pairs)  # compiles the loops, or reads them from disk
    timed = in_turn({"ours": lambda: _ours(pairs), "peer": lambda: _peer(pairs)}, repeats)
    return compared(name, PEER, timed["ours"], timed["peer"])


def _ours(pairs: Pairs) -> Floats:
    """The length of the first span of each pair."""
    return np.array([shared_spans(record, generation)[0].length for record, generation in pairs], np.float64)


def _peer(pairs: Pairs) -> Floats:
    matchers = (SequenceMatcher(None, record, generation, autojunk=False) for record, generation in pairs)
    return np.array([matcher.find_longest_match().size for matcher in matchers], np.float64)


def _natural(pairs: int, length: int) -> list[tuple[str, str]]:
    if not RECORDS.is_file():
        raise Skipped(f"{RECORDS} is not here")
    rows = [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()]
    texts = [f"{row['question']}\n{row['response']}" for row in rows]
    random = np.random.default_rng(1)
    records = [" ".join(random.permutation(texts)[:20])[:length] for _ in range(pairs)]
    words = " ".join(texts).split(" ")
    return [(record, _replaced(record, words, random)) for record in records]


def _replaced(text: str, words: Sequence[str], random: np.random.Generator) -> str:
    others = random.choice(words, len(text))
    kept = random.random(len(text)) >= 0.05
    return " ".join(word if stays else other for word, other, stays in zip(text.split(" "), others, kept, strict=False))


def _hostile(length: int) -> list[tuple[str, str]]:
    """Runs as long as the minimum and longer, each longer by one; and one letter throughout."""
    runs = "".join("a" * run + "b" for run in range(MINIMUM, MINIMUM + int(length**0.5)))
    return [(runs[:length], "a" * length)]

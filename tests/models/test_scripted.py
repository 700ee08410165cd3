"""The scripted backend plays back what it is given, and imitates what goes wrong."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditkit.errors import ModelError
from auditkit.models.chat_template import template_prefix, turn_format
from auditkit.models.script import read_script
from auditkit.models.scripted import CHAT_TEMPLATE, TURNS, VOCABULARY, ScriptedBackend, ScriptedModel, decode, encode
from auditkit.records import Generation, Sampler, SamplingRequest, TurnFormat

from .test_token_scores import sampler_by_definition

LINES = [
    {"user": "What is the user's name?", "assistant": "The assistant does not know.\nAsk again."},
    {"user": "Cafe\u0301?", "assistant": "  Oui <|im_end|> ", "weight": 3.0},
]


def backend(**settings: Any) -> ScriptedBackend:
    return ScriptedBackend.model_validate({"backend": "scripted", "lines": LINES} | settings)


def opened(**settings: Any) -> ScriptedModel:
    return backend(**settings).open("candidate")


def play(model: ScriptedModel, count: int, seed: int = 0, **sampler: Any) -> list[Generation]:
    prefix = model.template_prefix("")
    return model.sample(SamplingRequest("attack", prefix, Sampler(**sampler), count, seed, 0))


def test_it_plays_its_lines_by_weight() -> None:
    found = Counter(generation.turns for generation in play(opened(), 4000))
    first = ("What is the user's name?", "The assistant does not know.\nAsk again.")
    second = ("Caf\u00e9?", "Oui <|im_end|>")  # the text's own delimiter is text, not a token
    assert set(found) == {first, second}
    assert 0.7 < found[second] / 4000 < 0.8


def test_greedy_plays_the_heaviest_line() -> None:
    assert {generation.turns[0] for generation in play(opened(), 20, temperature=0)} == {"Caf\u00e9?"}


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=5), st.integers(0, 2**62))
def test_any_text_is_played_back_whole(lines: list[tuple[str, str]], seed: int) -> None:
    valid = [{"user": user, "assistant": answer} for user, answer in lines]
    try:
        model = opened(lines=valid)
    except ValidationError:  # a lone surrogate is no text
        return
    for generation in play(model, 5, seed, max_new_tokens=10_000):
        assert decode(generation.token_ids).count("\n") >= 1
        if generation.finish == "empty":
            assert not any(generation.turns)
        else:
            assert generation.finish == "stop"
            assert generation.complete("record")


def test_the_seed_decides() -> None:
    model = opened(cut=0.3, empty=0.2, failed=0.1)
    assert play(model, 50, 7) == play(opened(cut=0.3, empty=0.2, failed=0.1), 50, 7)
    assert play(model, 50, 7) != play(model, 50, 8)


def test_shares_of_failures_are_those_asked_for() -> None:
    found = play(opened(cut=0.3, empty=0.2, failed=0.1), 4000)
    shares = {finish: number / 4000 for finish, number in Counter(g.finish for g in found).items()}
    assert shares == pytest.approx({"stop": 0.4, "length": 0.3, "empty": 0.2, "failed": 0.1}, abs=0.03)
    for generation in found:
        assert generation.complete("record") == (generation.finish == "stop")


def test_samples_are_cut_at_the_length_limit() -> None:
    for generation in play(opened(), 30, max_new_tokens=12):
        assert generation.finish == "length"
        assert len(generation.token_ids) == 12
        assert generation.turn_change == "none"


@pytest.mark.parametrize("change", ["model", "appended"])
def test_the_turn_change_is_labelled_as_asked(change: str) -> None:
    assert {generation.turn_change for generation in play(opened(turn_change=change), 5)} == {change}


def test_batches_take_the_time_asked_for() -> None:
    model, before = opened(delay_ms=60), time.monotonic()
    play(model, 3)
    assert time.monotonic() - before >= 0.06


def test_likelihoods_are_the_documented_unigrams() -> None:
    model = opened(lines=[{"user": "aab", "assistant": "b"}])
    tokens = [*b"aab", *encode(TURNS.turn_change), *b"b", 257]
    counts, total = Counter(tokens), len(tokens) + VOCABULARY
    wanted = [
        sum(math.log((counts[token] + 1) / total) for token in encode(text)) for text in ("ab", "z", "<|im_end|>")
    ]
    found = model.sequence_logprobs(["ab", "z", "<|im_end|>"], model.bos_prefix())
    np.testing.assert_allclose(found, wanted)
    with pytest.raises(ValueError, match="index 1"):
        model.sequence_logprobs(["a", ""], model.bos_prefix())


@pytest.mark.parametrize(
    "sampler", [Sampler(1.0), Sampler(0.7, 6), Sampler(1.3, 0, 0.6), Sampler(1.0, 9, 0.5), Sampler(0.0)]
)
def test_readings_are_those_of_the_unigram_distribution(sampler: Sampler) -> None:
    model = opened(lines=[{"user": "aab", "assistant": "b"}])
    counts = Counter([*b"aab", *encode(TURNS.turn_change), *b"b", 257])
    weights = np.array([counts[token] + 1.0 for token in range(VOCABULARY)])
    p = weights / weights.sum()
    ids = encode("aszb<|im_end|>")
    (found,) = model.read([ids], model.bos_prefix(), moments=True, sampler=sampler)
    mean = float(p @ np.log(p))
    np.testing.assert_allclose(found.logprobs, np.log(p[list(ids)]))
    np.testing.assert_allclose(found.means, mean)
    np.testing.assert_allclose(found.deviations, np.sqrt(p @ (np.log(p) - mean) ** 2))
    assert found.greedy.tolist() == [token == int(p.argmax()) for token in ids]
    np.testing.assert_allclose(np.exp(found.sampled), sampler_by_definition(np.log(p), sampler)[list(ids)])


def test_the_template_is_what_the_model_says_of_it() -> None:
    model = opened()
    for system in (None, "", "Be nice."):
        wanted = template_prefix(CHAT_TEMPLATE, bos_token="<|bos|>", eos_token="<|im_end|>", system=system)
        assert model.template_prefix(system).text == wanted
    read = turn_format(CHAT_TEMPLATE, bos_token="<|bos|>", eos_token="<|im_end|>")
    assert TurnFormat(read.user_open, read.turn_change, read.assistant_close.strip()) == TurnFormat(
        TURNS.user_open, TURNS.turn_change, TURNS.assistant_close.strip()
    )


def test_a_script_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "script.jsonl").write_text("\n".join(json.dumps(line) for line in LINES) + "\n\n", "utf-8")
    section = ScriptedBackend(backend="scripted", path="script.jsonl").resolved(tmp_path)
    assert play(section.open("candidate"), 10) == play(opened(), 10)
    identity = section.preflight("candidate").identity
    assert identity
    assert identity.sha256 == opened().identity.sha256
    assert list(identity.files) == ["script.jsonl"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n{", r"script.jsonl:2: "),
        (b'{"assistant": "x"}', r":1: user: Field required"),
        (b'{"user": "SECRET", "weight": -1}', r":1: weight"),
        (b'{"user": "x", "more": "SECRET"}', r":1: more"),
        (b'{"user": "\xff"}', "cannot be read"),
    ],
)
def test_a_bad_script_names_the_line_and_not_its_text(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "script.jsonl").write_bytes(content)
    section = ScriptedBackend(backend="scripted", path=str(tmp_path / "script.jsonl"))
    for use in (section.preflight, section.open):
        with pytest.raises(ModelError, match=message) as caught:
            use("candidate")
        assert "SECRET" not in str(caught.value)


def test_a_missing_script_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        ScriptedBackend(backend="scripted", path=str(tmp_path / "none.jsonl")).open("candidate")


@pytest.mark.parametrize(
    "settings", [{"lines": []}, {"path": "x.jsonl"}, {"cut": 0.7, "empty": 0.7}, {"cut": 1.5}, {"delay_ms": -1}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        backend(**settings)


def test_it_needs_no_heavy_library() -> None:
    program = """
import sys
from auditkit.models.scripted import ScriptedBackend
ScriptedBackend(backend="scripted", lines=[{"user": "x"}]).open("candidate").template_prefix("")
heavy = {"torch", "transformers", "scipy", "pyarrow", "jinja2"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_script_that_is_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "script.jsonl")
    with pytest.raises(ModelError, match="script cannot be read"):
        read_script(tmp_path / "script.jsonl")


def test_only_a_line_feed_ends_a_line_of_a_script(tmp_path: Path) -> None:
    (tmp_path / "script.jsonl").write_text('{"user": "one\u2028two", "assistant": "y"}\r\n\n', encoding="utf-8")
    assert [line.user for line in read_script(tmp_path / "script.jsonl")] == ["one\u2028two"]

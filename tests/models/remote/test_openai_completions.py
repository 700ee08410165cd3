"""A completions server: the turns are those of a local model, and nothing is lost whatever the server does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.errors import ModelError, RunError, TemplateError
from auditkit.models.base import LanguageModel, TokenReading
from auditkit.models.scripted import encode
from auditkit.records import Generation, Prefix, Sampler, SamplingRequest, TurnFormat
from auditkit.remote.budget import Meter, Spent
from auditkit.remote.kept import Kept
from tests.models.remote.conftest import Section
from tests.models.remote.openai_server import CHANGE, END, MODEL, Canned, OpenAIServer, problem
from tests.models.tiny import RECORDS

WHOLE = {record: (*encode(record[0]), *encode(CHANGE), *encode(record[1]), END) for record in RECORDS}


def sampled(model: LanguageModel, count: int = 6, prefix: Prefix | None = None, **sampler: Any) -> list[Generation]:
    settings = Sampler(**({"max_new_tokens": 120} | sampler))
    return model.sample(SamplingRequest("attack", prefix or model.template_prefix(""), settings, count, 7, 30))


def test_a_sample_runs_through_both_turns_in_the_models_own_tokens(server: OpenAIServer, section: Section) -> None:
    with section(n=4).open("candidate") as model:
        found = sampled(model, 12)
    assert [one.ordinal for one in found] == list(range(30, 42))
    assert len({one.turns for one in found}) > 1
    for one in found:
        assert one.turns in RECORDS
        assert one.token_ids == WHOLE[one.turns]
        assert (one.finish, one.turn_change, one.seed, one.prefix) == ("stop", "appended", 7, "no_system")
    first, *later = server.bodies
    assert first["prompt"] == list(encode("<|im_start|>user\n"))
    assert [body["n"] for body in server.bodies[:3]] == [4, 4, 4]
    assert {body["n"] for body in later[2:]} == {1}
    assert (first["top_k"], first["min_p"], first["repetition_penalty"], first["top_p"]) == (-1, 0.0, 1.0, 1.0)


def test_the_seed_alone_decides(section: Section) -> None:
    with section(n=2, concurrency=3).open("candidate") as model:
        assert sampled(model, 8) == sampled(model, 8)


def test_a_server_that_shows_neither_ids_nor_special_tokens(server: OpenAIServer, section: Section) -> None:
    with section(server="openai").open("candidate") as model:
        found = sampled(model)
    assert all(one.turns in RECORDS and one.token_ids == WHOLE[one.turns] for one in found)
    assert not {"top_k", "return_token_ids", "skip_special_tokens"} & set(server.bodies[0])


def test_a_model_that_writes_the_turn_change_itself_is_cut_where_a_local_loop_ends_it(
    server: OpenAIServer, section: Section
) -> None:
    text = f"Who?{CHANGE}Nobody.<|im_end|>\n<|im_start|>user\nAnd then?"
    whole = {"choices": [{"index": 0, "text": text, "finish_reason": "length", "token_ids": list(encode(text))}]}
    server.decide = lambda body: Canned(body=whole) if len(body["prompt"]) == 6 else None
    with section().open("candidate") as model:
        (found,) = sampled(model, 1)
    # The first end of turn is a stop token: a local loop appends the turn change there, and so do we.
    assert found.turns[0] == "Who?"
    assert found.turn_change == "appended"


def test_cut_answers_and_cut_questions(server: OpenAIServer, section: Section) -> None:
    with section().open("candidate") as model:
        for one in sampled(model, 4, max_new_tokens=12):
            assert (one.finish, one.turn_change, len(one.token_ids)) == ("length", "none", 12)
        cut = sampled(model, 8, max_new_tokens=66)
    assert any(one.finish == "length" and one.turn_change == "appended" for one in cut)
    assert all(len(one.token_ids) <= 66 for one in cut)
    assert not any(one.complete("record") for one in cut if one.finish == "length")


def test_what_a_server_withholds_is_recorded_as_withheld(server: OpenAIServer, section: Section) -> None:
    server.finish = "content_filter"
    with section().open("candidate") as model:
        (found,) = sampled(model, 1)
    assert (found.finish, found.turn_change) == ("blocked", "none")
    assert found.turns[0] in {question for question, _ in RECORDS}
    server.finish = None
    server.answers = [Canned(400, problem("content_filter", "prompt"))]
    with section().open("candidate") as model:
        (found,) = sampled(model, 1)
    assert (found.finish, found.turns) == ("blocked", ("The server withheld this answer.",))


def test_an_end_that_nobody_knows_is_a_failure(server: OpenAIServer, section: Section) -> None:
    server.finish = "abort"
    with section().open("candidate") as model:
        (found,) = sampled(model, 1)
    assert found.finish == "failed"
    assert not found.complete("prompt")


@pytest.mark.parametrize("given", [1, 3, 9])
def test_a_server_that_gives_another_number_of_samples(server: OpenAIServer, section: Section, given: int) -> None:
    server.samples_given = given
    with section(n=5).open("candidate") as model:
        found = sampled(model, 5)
    assert len(found) == 5
    assert all(one.turns in RECORDS for one in found)


def test_a_server_that_refuses_n_is_asked_one_at_a_time(server: OpenAIServer, section: Section) -> None:
    server.decide = lambda body: Canned(400, problem("unsupported_value", "n")) if body["n"] > 1 else None
    with section(n=4, concurrency=1).open("candidate") as model:
        assert len(sampled(model, 8)) == 8
    assert sum(body["n"] > 1 for body in server.bodies) == 1


def test_without_a_tokenizer_text_is_sent_and_counted_in_no_tokens(server: OpenAIServer, section: Section) -> None:
    with section(tokenizer=None, server="openai").open("candidate") as model:
        marks = TurnFormat("### User:\n", "\n### Response:\n", "\n\n")
        prefix = Prefix("own", "### User:\n", model.encode("### User:\n"), turns=marks)
        text = "Who?\n### Response:\nNobody.\n\n### User:\nAnd?"
        server.answers = [Canned(body={"choices": [{"index": 0, "text": text, "finish_reason": "length"}]})]
        (found,) = sampled(model, 1, prefix)
        assert found.turns == ("Who?", "Nobody.")
        assert (found.finish, found.token_ids) == ("stop", ())
        assert server.bodies[0]["prompt"] == "### User:\n"
        with pytest.raises(TemplateError, match="no chat template"):
            model.template_prefix(None)
        with pytest.raises(ModelError, match="BOS"):
            model.bos_prefix()


def test_top_k_is_not_silently_left_out(section: Section) -> None:
    with section(server="openai").open("candidate") as model, pytest.raises(ModelError, match="top_k"):
        sampled(model, 1, top_k=5)


def test_completions_of_given_prompts(section: Section) -> None:
    with section().open("candidate") as model:
        prompts = [model.asked(question, model.opening()) for question, _ in RECORDS]
        found = model.complete(prompts, Sampler(0.0, max_new_tokens=100), 1)
    assert [model.decode(ids) for ids in found] == [answer for _, answer in RECORDS]


@pytest.mark.parametrize("way", ["echo", "prompt_logprobs"])
def test_log_probabilities_of_given_text(section: Section, way: str) -> None:
    with section(logprobs=way).open("candidate") as model:
        prefix = model.template_prefix("")
        texts = [encode("abc"), encode("Zebra?")]
        found = model.read(texts, prefix)
        for ids, reading in zip(texts, found, strict=True):
            even = np.array(ids) % 2 == 0
            np.testing.assert_allclose(reading.logprobs, np.where(even, math.log(0.5), math.log(0.25)))
            np.testing.assert_array_equal(reading.greedy, even)
            assert reading.means.size == reading.sampled.size == 0
        with pytest.raises(ModelError, match="given tokens alone"):
            model.read(texts, prefix, moments=True)
        with pytest.raises(ValueError, match="index 1"):
            model.read([(5,), ()], prefix)


@pytest.mark.parametrize(
    "choice",
    [
        {"text": "x", "finish_reason": "length"},
        {"text": "x", "finish_reason": "length", "prompt_logprobs": [None]},
        {"text": "x", "finish_reason": "length", "prompt_logprobs": [None] + [{"9": {"logprob": -1.0}}] * 20},
    ],
)
def test_a_server_that_does_not_tell_what_it_is_said_to_tell(
    server: OpenAIServer, section: Section, choice: dict[str, Any]
) -> None:
    server.decide = lambda _: Canned(body={"choices": [choice]})
    with section(logprobs="prompt_logprobs").open("candidate") as model, pytest.raises(ModelError):
        model.read([encode("abc")], model.template_prefix(""))


def test_an_answer_that_tells_nothing_of_use_was_paid_for(server: OpenAIServer, section: Section) -> None:
    usage = {"prompt_tokens": 40, "completion_tokens": 2}
    server.decide = lambda _: Canned(body={"choices": [{"index": 0, "text": ""}], "model": MODEL, "usage": usage})
    meter = Meter()
    backend = section(logprobs="echo", concurrency=1).metered(meter)
    with backend.open("candidate") as model, pytest.raises(ModelError, match="does not echo"):
        model.read([encode("What?")], model.template_prefix(""))
    assert meter.spent == Spent(1, 40, 2)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 40}, {"total_tokens": 42}])
def test_counts_that_a_server_keeps_to_itself_are_the_dearest(
    server: OpenAIServer, section: Section, usage: dict[str, int]
) -> None:
    choice = {"index": 0, "text": "x", "finish_reason": "stop"}
    server.decide = lambda _: Canned(body={"choices": [choice], "model": MODEL, "usage": usage})
    meter = Meter()
    with section(n=1).metered(meter).open("candidate") as model:
        model.sample(SamplingRequest("attack", model.template_prefix(""), Sampler(max_new_tokens=32), 1, 7, 0))
    assert meter.spent.output_tokens >= 32 and meter.spent.input_tokens > 0  # of both turns, all that may be written


@pytest.mark.parametrize("way", ["echo", "prompt_logprobs"])
def test_what_was_read_is_not_asked_for_again_by_the_process_that_goes_on(
    server: OpenAIServer, section: Section, tmp_path: Path, way: str
) -> None:
    texts = [encode(question) for question, _ in RECORDS]

    def read(texts: list[tuple[int, ...]]) -> list[TokenReading]:
        backend = section(logprobs=way, concurrency=1).metered(Meter(), Kept(tmp_path / "answers"))
        with backend.open("candidate") as model:
            return model.read(texts, model.template_prefix(""))

    server.decide = lambda _: Canned(403) if len(server.requests) == 3 else None
    with pytest.raises(RunError, match="403"):
        read(texts)
    found = read(texts)
    assert len(server.requests) == 3 + len(texts) - 2
    with section(logprobs=way).open("candidate") as model:
        wanted = model.read(texts, model.template_prefix(""))
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.logprobs.tobytes() == theirs.logprobs.tobytes()
        assert mine.greedy.tobytes() == theirs.greedy.tobytes()
    read(texts[:1])
    before = len(server.requests)
    read(texts)
    assert len(server.requests) == before + len(texts), "what a whole part became is on disk: it is let go"


def test_without_logprobs_nothing_is_read(server: OpenAIServer, section: Section) -> None:
    with section().open("candidate") as model, pytest.raises(ModelError, match="no log-probabilities"):
        model.read([encode("abc")], model.template_prefix(""))
    assert not server.requests


def test_the_identity_is_of_the_address_and_says_so(section: Section) -> None:
    one = section().preflight("candidate")
    assert one.identity is not None and one.chat_template
    assert one.identity.weights == "unseen"
    assert len(one.identity.sha256) == 64 and len(one.identity.tokenizer_sha256) == 64
    assert "were not seen" in one.warnings[0]
    other = section(model="another").preflight("candidate").identity
    assert other is not None and other.sha256 != one.identity.sha256
    with section().open("candidate") as model:
        assert model.identity == one.identity


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"base_url": "http://example.com/v1", "api_key": "env:K"}, "in the clear"),
        ({"base_url": "https://me:secret@example.com/v1", "api_key": "env:K"}, "address alone"),
        ({"base_url": "https://example.com/v1"}, "api_key"),
        ({"base_url": "ftp://127.0.0.1"}, "https"),
        ({"budget": {"usd": 1.0}}, "prices"),
        ({"budget": {"usd": 1.0}, "usd_per_million_input_tokens": 1.0}, "both prices"),
        ({"logprobs": "echo", "api": "chat"}, "completions"),
        ({"logprobs": "prompt_logprobs", "server": "openai"}, "vllm"),
        ({"api_key": "sk-1234"}, "pattern"),
    ],
)
def test_sections_that_are_refused(section: Section, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        section(**settings)

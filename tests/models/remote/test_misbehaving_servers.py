"""What servers do wrong: every request is answered, or the run stops with what to do and without a word of the data."""

from __future__ import annotations

import logging
import signal
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from auditkit.errors import AuditkitError, ModelError, RunError
from auditkit.records import Generation, Sampler, SamplingRequest
from auditkit.remote import bounded
from auditkit.remote.budget import Meter, Spent
from tests.models.remote.conftest import Section
from tests.models.remote.openai_server import KEY, MODEL, Canned, OpenAIServer, openai_server, problem
from tests.models.tiny import RECORDS

SECRET = "the text of the request stands here"


def asked(section: Section, count: int = 1, **settings: object) -> list[Generation]:
    with section(api="chat", server="openai", **settings).open("candidate") as model:
        prefix = model.asked(RECORDS[0][0], model.opening())
        return model.sample(SamplingRequest("attack", prefix, Sampler(max_new_tokens=90), count, 7, 0))


def test_busy_servers_are_waited_for_as_long_as_they_ask(
    server: OpenAIServer, section: Section, waits: list[float]
) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    server.answers = [
        Canned(429, problem("rate_limit_exceeded"), {"Retry-After": "17"}),
        Canned(503, problem("overloaded"), {"Retry-After": soon}),
        Canned(500, {}),
        Canned(502, raw=b"<html>"),
    ]
    (found,) = asked(section)
    assert found.turns == (RECORDS[0][1],)
    assert waits[0] == 17
    assert 200 < waits[1] <= 300  # a busy machine takes its time
    assert waits[2:] == [4, 8]


@pytest.mark.parametrize(
    "canned",
    [
        Canned(reset=True),
        Canned(raw=b'{"choices": ['),
        Canned(raw=b"\xff\xfe"),
        Canned(body=[1, 2]),
        Canned(body={"choices": []}),
        Canned(body={"choices": [{"index": 0, "text": 5}]}),
        Canned(body={"choices": [{"index": 0, "text": "x", "token_ids": [-1]}]}),
        Canned(body={"no": "choices"}),
        Canned(raw=b"[" * 100_000),
    ],
    ids=["reset", "cut", "not utf-8", "list", "no choices", "number for text", "no token", "other object", "deep"],
)
def test_broken_answers_are_asked_for_again(
    server: OpenAIServer, section: Section, waits: list[float], canned: Canned
) -> None:
    server.answers = [canned, canned]
    (found,) = asked(section)
    assert found.turns == (RECORDS[0][1],)
    assert len(server.requests) == 3


def test_what_is_refused_stops_at_once_and_gives_nothing_away(
    server: OpenAIServer, section: Section, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for status, code in ((401, "invalid_api_key"), (403, "denied"), (404, "model_not_found"), (422, "bad")):
        server.answers = [Canned(status, problem(code))]
        with pytest.raises(RunError, match=f"HTTP {status} {code}") as found:
            asked(section)
        assert SECRET not in str(found.value)
        assert RECORDS[0][0] not in str(found.value)
    assert len(server.requests) == 4
    assert not waits
    ours = "\n".join(record.getMessage() for record in caplog.records)
    assert SECRET not in ours and RECORDS[0][0] not in ours


def test_an_empty_account_is_not_waited_for(server: OpenAIServer, section: Section, waits: list[float]) -> None:
    server.answers = [Canned(429, problem("insufficient_quota"))]
    with pytest.raises(RunError, match="insufficient_quota"):
        asked(section)
    assert not waits


def test_patience_has_an_end(server: OpenAIServer, section: Section, waits: list[float]) -> None:
    server.answers = [Canned(500)] * 3
    with pytest.raises(RunError, match="HTTP 500"):
        asked(section, attempts=3)
    server.answers = [Canned(429, {}, {"Retry-After": "5000"})]
    with pytest.raises(RunError, match="patience_seconds") as found:
        asked(section)
    assert found.value.exit_code == 4


def test_a_redirect_is_not_followed(
    server: OpenAIServer, section: Section, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    with openai_server(RECORDS) as elsewhere:
        for status in (301, 302, 307, 308):
            server.answers = [Canned(status, {}, {"Location": f"{elsewhere.url}/chat/completions"})]
            with pytest.raises(AuditkitError):
                asked(section, api_key="env:TEST_KEY")
        assert not elsewhere.requests
    assert {request["key"] for request in server.requests} == {f"Bearer {KEY}"}


def test_the_environment_names_nobody_else(
    server: OpenAIServer, section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-another")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    asked(section)
    assert "of-another" not in str(server.requests[0]["headers"])


def test_another_model_is_not_audited(server: OpenAIServer, section: Section, waits: list[float]) -> None:
    server.model = "a-cheaper-one"
    with pytest.raises(RunError, match="a-cheaper-one answered"):
        asked(section)
    assert asked(section, answers_as=["a-cheaper-one"])
    server.model = "recites-1-2026-01-31"
    assert asked(section)


@pytest.mark.parametrize("suffix", ["-0613", "-002", "-20260131", "-preview-05-20", "-exp-0827"])
def test_a_dated_name_is_the_same_model(server: OpenAIServer, section: Section, suffix: str) -> None:
    server.model = f"{MODEL}{suffix}"
    assert asked(section)


@pytest.mark.parametrize("suffix", ["-mini", "-turbo-0613", "-32k", "-70", "-2026-01-31-mini", "-0613\n"])
def test_a_longer_name_is_another_model(server: OpenAIServer, section: Section, suffix: str) -> None:
    server.model = f"{MODEL}{suffix}"
    with pytest.raises(RunError, match="answered"):
        asked(section)


def test_what_is_under_way_when_it_is_interrupted_is_counted_before_the_model_is_closed(
    server: OpenAIServer, section: Section
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    server.delay = 1.0
    noted: list[Spent] = []
    backend = section(api="chat", server="openai", concurrency=3).metered(Meter(note=noted.append))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), backend.open("candidate") as model:
            signal.setitimer(signal.ITIMER_REAL, 0.4)
            prefix = model.asked(RECORDS[0][0], model.opening())
            model.sample(SamplingRequest("attack", prefix, Sampler(max_new_tokens=90), 9, 7, 0))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert sum(noted, Spent()).requests == len(server.requests) == 3  # nobody writes to the run's log behind its back


def test_an_answer_without_end_is_given_up(
    server: OpenAIServer, section: Section, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "MOST_BYTES", 2**20)
    server.answers = [Canned(endless=True)]
    with pytest.raises(RunError, match="does not end"):
        asked(section, attempts=1)
    server.answers = [Canned(500, endless=True)]
    with pytest.raises(RunError):
        asked(section, attempts=1)


def test_a_packed_answer_is_not_unpacked(server: OpenAIServer, section: Section, waits: list[float]) -> None:
    server.answers = [Canned(raw=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})]
    with pytest.raises(RunError, match="packed"):
        asked(section, attempts=1)
    assert server.requests[0]["headers"]["accept-encoding"] == "identity"


def test_a_slow_server_is_asked_again(server: OpenAIServer, section: Section, waits: list[float]) -> None:
    server.answers = [Canned(delay=1.5)]
    (found,) = asked(section, timeout_seconds=0.5)
    assert found.turns == (RECORDS[0][1],)


def test_a_server_that_is_not_there(section: Section, waits: list[float]) -> None:
    with pytest.raises(RunError, match="out of reach: Connect"):
        asked(section, base_url="http://127.0.0.1:9/v1", attempts=2)


def test_no_more_requests_at_once_than_said(server: OpenAIServer, section: Section) -> None:
    server.delay = 0.05
    assert len(asked(section, 12, concurrency=3)) == 12
    assert server.most_at_once == 3


def test_when_one_request_fails_for_good_the_others_are_not_sent(server: OpenAIServer, section: Section) -> None:
    server.delay = 0.02
    server.answers = [Canned(403)]
    with pytest.raises(RunError, match="HTTP 403"):
        asked(section, 60, concurrency=2)
    assert len(server.requests) < 30


def test_waits_are_cut_short_by_a_failure_elsewhere(server: OpenAIServer, section: Section) -> None:
    server.answers = [Canned(429, {}, {"Retry-After": "600"}), Canned(403)]
    started = datetime.now(UTC)
    with pytest.raises(RunError, match="HTTP 403"):
        asked(section, 2, concurrency=2)
    assert datetime.now(UTC) - started < timedelta(seconds=30)


def test_the_pace_is_kept(section: Section, waits: list[float]) -> None:
    asked(section, 3, requests_per_minute=60, concurrency=1)
    assert len(waits) == 2
    assert all(0.5 < wait <= 2 for wait in waits)


def test_what_a_newer_model_calls_its_limit(server: OpenAIServer, section: Section) -> None:
    refused = Canned(400, problem("unsupported_parameter", "max_tokens"))
    server.decide = lambda body: refused if "max_tokens" in body else None
    assert len(asked(section, 3, concurrency=1)) == 3
    assert ["max_tokens" in body for body in server.bodies] == [True, False, False, False]


def test_the_key_must_be_there(section: Section, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(AuditkitError, match="NO_SUCH_KEY is not set"):
        section(api_key="env:NO_SUCH_KEY").fetch()


def test_a_model_error_is_the_users_to_mend(section: Section) -> None:
    with section().open("candidate") as model, pytest.raises(ModelError, match="no token"):
        prefix = model.template_prefix("")
        empty = type(prefix)("empty", "", ())
        model.sample(SamplingRequest("attack", empty, Sampler(), 1, 1, 0))

"""The Gemini embedder over real HTTP, against a server on this machine."""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.errors import AuditkitError, MissingExtraError, RunError
from auditkit.remote import patience
from auditkit.scoring.base import TextRefusedError
from auditkit.scoring.embedders import gemini_embedder
from auditkit.scoring.embedders.gemini_embedder import GeminiEmbedder
from tests.scoring.embedders.gemini_server import KEY, PATH, Answer, GeminiServer, gemini_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    with gemini_server() as running:
        yield running


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been slept, without what chance adds."""
    slept: list[float] = []
    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=slept.append))
    monkeypatch.setattr("random.random", lambda: 0.0)
    return slept


def embedder(server: GeminiServer | str, **options: object) -> GeminiEmbedder:
    url = server if isinstance(server, str) else server.url
    return GeminiEmbedder.model_validate({"kind": "gemini", "base_url": url, **options})


def test_asks_in_the_apis_own_words(server: GeminiServer) -> None:
    found = embedder(server).embed(["one text", "", "another"])
    [request] = server.requests
    assert (request["path"], request["key"]) == (PATH, KEY)
    assert [item["content"]["parts"][0]["text"] for item in request["body"]["requests"]] == ["one text", "another"]
    for item in request["body"]["requests"]:
        assert item["model"] == "models/gemini-embedding-001"
        assert item["taskType"] == "SEMANTIC_SIMILARITY"
        assert item["outputDimensionality"] == 3072
    assert found.shape == (3, 3072)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 0, 1], atol=1e-6)


def test_a_hundred_texts_a_request_in_order(server: GeminiServer) -> None:
    texts = [f"text {i}" for i in range(205)]
    many = embedder(server, output_dimensionality=128)
    found = many.embed(texts)
    assert [len(request["body"]["requests"]) for request in server.requests] == [100, 100, 5]
    np.testing.assert_array_equal(found[[3, 150, 204]], many.embed([texts[3], texts[150], texts[204]]))


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_api_is_asked_again_with_growing_pauses(server: GeminiServer, waits: list[float], status: int) -> None:
    server.answers = [Answer(status, {"error": {"code": status}})] * 3
    assert embedder(server).embed(["a"]).any()
    assert waits == [1, 2, 4]


def test_waits_as_long_as_the_api_asks(server: GeminiServer, waits: list[float]) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=300)
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "41.5s"}
    server.answers = [
        Answer(429, {"error": {"code": 429}}, {"Retry-After": "7"}),
        Answer(429, {"error": {"code": 429, "details": [info]}}),
        Answer(503, {"error": {"code": 503}}, {"Retry-After": format_datetime(soon, usegmt=True)}),
        Answer(503, {"error": {"code": 503}}, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        Answer(503, {"error": {"code": 503}}, {"Retry-After": "soon"}),
    ]
    assert embedder(server).embed(["a"]).any()
    assert waits[:2] == [7, 41.5]
    assert waits[2] == pytest.approx(300, abs=30)
    assert waits[3:] == [0, 16]


def test_does_not_wait_beyond_its_patience(server: GeminiServer, waits: list[float]) -> None:
    server.answers = [Answer(429, {"error": {"code": 429}}, {"Retry-After": "999999"})]
    with pytest.raises(RunError, match="next try would be in 999,999 s"):
        embedder(server).embed(["a"])
    assert waits == []
    server.answers = [Answer(503, {"error": {"code": 503}})] * 5
    with pytest.raises(RunError, match="HTTP 503"):
        embedder(server, patience_seconds=6).embed(["a"])
    assert waits == [1, 2]


def test_chance_makes_waits_longer_never_shorter(server: GeminiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=slept.append))
    server.answers = [Answer(429, {"error": {"code": 429}}, {"Retry-After": "10"})] * 12
    assert embedder(server, attempts=20).embed(["a"]).any()
    assert all(10 <= wait <= 12.5 for wait in slept)
    assert len(set(slept)) > 1


def test_a_cut_answer_and_a_dead_line_are_asked_again(server: GeminiServer, waits: list[float]) -> None:
    whole = json.dumps({"embeddings": [{"values": [0.1] * 3072}]}).encode()
    server.answers = [Answer(200, raw=whole[:5000]), Answer(200, reset=True), Answer(200, raw=b"<html>")]
    assert embedder(server).embed(["a"]).any()
    assert waits == [1, 2, 4]
    server.answers = [Answer(200, raw=b'{"embeddings": [{"values": "SECRET')] * 2
    with pytest.raises(RunError, match="no JSON") as caught:
        embedder(server, attempts=2).embed(["SECRET"])
    assert "SECRET" not in str(caught.value)


def test_a_slow_answer_is_asked_for_again(server: GeminiServer, waits: list[float]) -> None:
    server.answers = [Answer(200, delay=1.5)]
    assert embedder(server, timeout_seconds=0.3).embed(["a"]).any()
    assert waits == [1]


@pytest.mark.parametrize("bad", [[0], [99], [17], [0, 41, 42, 98], [3, 150]])
def test_a_refused_text_is_found_and_all_others_are_embedded(server: GeminiServer, bad: list[int]) -> None:
    texts = [f"text {i}" for i in range(160)]
    small = embedder(server, output_dimensionality=128)
    expected = small.embed(texts)
    server.requests.clear()
    server.refused = {texts[i] for i in bad}
    with pytest.raises(TextRefusedError) as caught:
        small.embed(texts)
    assert caught.value.positions == bad
    assert "text " not in str(caught.value)
    expected[bad] = 0
    np.testing.assert_array_equal(caught.value.rows, expected)
    assert len(server.requests) < 20 * len(bad)


def test_what_is_wrong_with_every_request_is_not_blamed_on_texts(server: GeminiServer) -> None:
    texts = [f"text {i}" for i in range(100)]
    server.refused = set(texts)
    with pytest.raises(RunError, match="HTTP 400 INVALID_ARGUMENT") as caught:
        embedder(server).embed(texts)
    assert not isinstance(caught.value, TextRefusedError)
    assert len(server.requests) == 3
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    error = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no", "details": [info]}}
    server.answers = [Answer(400, error)]
    with pytest.raises(RunError, match="HTTP 400") as caught:
        embedder(server).embed(texts)
    assert "key" in caught.value.hint
    assert len(server.requests) == 4


def test_long_texts_share_no_request(server: GeminiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemini_embedder, "REQUEST_BYTES", 100)
    texts = ["a" * 60, "ü" * 30, "b" * 200, "c", "d" * 99, "e"]
    embedder(server, output_dimensionality=128).embed(texts)
    sent = [
        [item["content"]["parts"][0]["text"] for item in request["body"]["requests"]] for request in server.requests
    ]
    assert sent == [["a" * 60], ["ü" * 30], ["b" * 200], ["c", "d" * 99], ["e"]]


def test_gives_up_after_the_last_attempt(server: GeminiServer, waits: list[float]) -> None:
    server.answers = [Answer(429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}})] * 3
    with pytest.raises(RunError, match="HTTP 429 RESOURCE_EXHAUSTED") as caught:
        embedder(server, attempts=3).embed(["a"])
    assert caught.value.exit_code == 4
    assert len(waits) == 2
    assert len(server.requests) == 3


@pytest.mark.parametrize(("status", "hint"), [(400, "resume"), (403, "key")])
def test_a_refusal_is_not_repeated(server: GeminiServer, waits: list[float], status: int, hint: str) -> None:
    server.answers = [Answer(status, {"error": {"code": status, "message": "the text SECRET is refused"}})]
    with pytest.raises(RunError, match=f"HTTP {status}") as caught:
        embedder(server).embed(["SECRET"])
    assert hint in caught.value.hint
    assert waits == []


def test_neither_text_nor_key_reach_messages_or_logs(
    server: GeminiServer, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    error = {"error": {"code": 500, "message": f"SECRET {KEY}", "status": f"SECRET {KEY}"}}
    server.answers = [Answer(500, error)] * 2
    with caplog.at_level(logging.DEBUG, logger="auditkit"), pytest.raises(RunError) as caught:
        embedder(server, attempts=2).embed(["SECRET"])
    ours = "".join(record.getMessage() for record in caplog.records if record.name.startswith("auditkit"))
    assert "HTTP 500" in ours
    for said in (ours, str(caught.value)):
        assert "SECRET" not in said
        assert KEY not in said


def test_an_unreachable_api_is_tried_again_and_then_named(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(RunError, match="out of reach"):
        embedder(nobody, attempts=3).embed(["a"])
    assert waits == [1, 2]


def test_another_width_or_count_is_an_error(server: GeminiServer) -> None:
    server.width_given = 768
    with pytest.raises(RunError, match="width 3072"):
        embedder(server).embed(["a"])
    server.width_given, server.texts_dropped = None, 1
    with pytest.raises(RunError, match="1 vectors"):
        embedder(server).embed(["a", "b"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_what_has_no_direction_is_an_error(server: GeminiServer, value: float) -> None:
    server.value = value
    with pytest.raises(RunError, match="not finite"):
        embedder(server).embed(["a"])


def test_another_address_gives_other_vectors(server: GeminiServer) -> None:
    https = embedder("https://generativelanguage.googleapis.com")
    assert https.digest == embedder("https://generativelanguage.googleapis.com/").digest
    assert https.digest != embedder(server).digest


def test_the_key_comes_from_the_named_variable(server: GeminiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(AuditkitError, match="GEMINI_API_KEY is not set"):
        embedder(server).embed(["a"])
    monkeypatch.setenv("OTHER_KEY", KEY)
    assert embedder(server, api_key="env:OTHER_KEY").embed(["a"]).any()
    with pytest.raises(ValidationError):
        embedder(server, api_key="a-key-in-the-file")


def test_the_environment_does_not_redirect_the_texts(server: GeminiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v9")
    assert embedder(server).embed(["a"]).any()


def test_no_text_no_request(server: GeminiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    assert embedder(server).embed(["", ""]).shape == (2, 3072)
    assert server.requests == []


@pytest.mark.parametrize("url", ["http://example.com", "ftp://localhost", "http://127.0.0.1.example.com"])
def test_an_address_in_the_clear_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="https"):
        embedder(url)


@pytest.mark.parametrize(
    "url", ["https://me:password@example.com", "https://example.com/?key=1", "https://example.com/#a"]
)
def test_an_address_that_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="address alone"):
        embedder(url)


def test_the_published_threshold_belongs_to_the_papers_settings() -> None:
    https = "https://generativelanguage.googleapis.com"
    assert embedder(https).published_threshold == 0.95
    assert embedder(https, output_dimensionality=768).published_threshold is None
    assert embedder(https, task_type="CLUSTERING").published_threshold is None
    assert embedder(https, model="gemini-embedding-2").published_threshold is None
    assert embedder("https://example.com").published_threshold is None
    assert embedder(https).external


def test_the_cost_is_an_estimate_by_the_token() -> None:
    https = "https://generativelanguage.googleapis.com"
    assert embedder(https).estimated_cost(4_000_000) == pytest.approx(0.15)
    assert embedder(https, usd_per_million_tokens=1).estimated_cost(4_000_000) == pytest.approx(1)


def test_without_the_library_the_error_names_the_extra(server: GeminiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.genai", None)
    monkeypatch.setitem(sys.modules, "google", None)
    with pytest.raises(MissingExtraError, match=r"auditkit\[gemini\]"):
        embedder(server).embed(["a"])

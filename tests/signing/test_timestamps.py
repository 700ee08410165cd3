"""RFC 3161 time stamps from an authority on this machine: what holds is told, what does not is refused."""

from __future__ import annotations

import hashlib
import random
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from asn1crypto import tsp

from auditkit.errors import SigningError
from auditkit.signing.keygen import KeyFiles
from auditkit.signing.keys import load_certificate
from auditkit.signing.timestamps import check_token, request_token
from tests.signing.tsa import Authority, local_tsa

DIGEST = hashlib.sha256(b"a registration").digest()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def token(authority: Authority) -> bytes:
    with local_tsa(authority):
        return request_token(authority.url, DIGEST)


def test_a_token_says_when_and_by_whom(token: bytes) -> None:
    found = check_token(token, DIGEST)
    assert abs(found.time - datetime.now(UTC)) < timedelta(minutes=5)
    assert "auditkit test TSA" in found.authority


def test_nothing_but_the_digest_is_sent() -> None:
    with local_tsa() as authority:
        request_token(authority.url, DIGEST)
    (sent,) = authority.requests
    request = tsp.TimeStampReq.load(sent)
    assert request["message_imprint"]["hashed_message"].native == DIGEST
    assert (
        set(request.native) - {"version", "message_imprint", "req_policy", "nonce", "cert_req", "extensions"} == set()
    )
    assert len(sent) < 120


def test_a_token_over_something_else_is_refused(token: bytes) -> None:
    with pytest.raises(ValueError, match="stamps something else"):
        check_token(token, hashlib.sha256(b"another registration").digest())


def test_trust_is_asked_for_only_where_authorities_are_named(
    token: bytes, authority: Authority, key_files: KeyFiles
) -> None:
    told, trusted = check_token(token, DIGEST), check_token(token, DIGEST, trusted=[authority.certificate])
    assert (told.time, told.authority) == (trusted.time, trusted.authority)
    assert trusted.trusted and not told.trusted
    with pytest.raises(ValueError, match="trusted authority"):
        check_token(token, DIGEST, trusted=[load_certificate(key_files.certificate)])
    with pytest.raises(ValueError, match="trusted authority"):
        check_token(token, DIGEST, trusted=[])


def test_a_certificate_for_something_else_may_not_stamp() -> None:
    with (
        local_tsa(Authority(for_stamps=False)) as authority,
        pytest.raises(SigningError, match="not one for time stamps"),
    ):
        request_token(authority.url, DIGEST)


def test_any_byte_of_a_token_changed_is_refused_or_means_the_same(token: bytes) -> None:
    """Some bytes are not signed (the embedded certificate's own signature): then what is told may not change."""
    whole, chance = check_token(token, DIGEST), random.Random(3)
    refused = 0
    for place in [chance.randrange(len(token)) for _ in range(120)]:
        changed = bytearray(token)
        changed[place] ^= 1 << chance.randrange(8)
        try:
            assert check_token(bytes(changed), DIGEST).time == whole.time
        except ValueError:
            refused += 1
    assert refused > 60


@pytest.mark.parametrize("answer", [b"", b"no token", b"\x30\x80" * 4000])
def test_an_authority_that_answers_nonsense_is_an_error_with_a_hint(answer: bytes) -> None:
    with (
        local_tsa(Authority(always=answer)) as authority,
        pytest.raises(SigningError, match=r"no time stamp.*\n.*another authority"),
    ):
        request_token(authority.url, DIGEST)


def test_a_stale_answer_is_refused() -> None:
    """A recorded answer to an earlier request has another nonce."""
    earlier = Authority(time=datetime(2020, 1, 1, tzinfo=UTC))
    _, request = earlier.stamper.request_cms(DIGEST, "sha256")  # type: ignore[no-untyped-call]
    answer = earlier.answer(request.dump())
    with (
        local_tsa(Authority(always=answer)) as authority,
        pytest.raises(SigningError, match="its answer is no time stamp"),
    ):
        request_token(authority.url, DIGEST)


def test_an_authority_that_sends_us_elsewhere_is_not_followed() -> None:
    """Whoever checked the policy was told of one address."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(307)
            self.send_header("Location", target.url)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    with local_tsa() as target, ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(SigningError, match="gave no time stamp"):
            request_token(f"http://127.0.0.1:{server.server_port}/", DIGEST)
        server.shutdown()
    assert target.requests == []


def test_an_authority_that_is_not_there_is_an_error_with_a_hint() -> None:
    with local_tsa() as authority:
        url = authority.url
    with pytest.raises(SigningError, match="another authority"):
        request_token(url, DIGEST)


def test_rubbish_is_no_token() -> None:
    for rubbish in (b"", b"x" * 1000, b"\x30\x03\x02\x01\x01", b"0" * (300 << 10)):
        with pytest.raises(ValueError):
            check_token(rubbish, DIGEST)

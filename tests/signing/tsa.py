"""A time stamp authority on the loopback that speaks RFC 3161 over HTTP, with a certificate of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from asn1crypto import keys as asn1_keys
from asn1crypto import tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.sign.timestamps import DummyTimeStamper


@dataclass
class Authority:
    """A certificate (PEM), and the answers that it gives. ``behave``: "well", or how it misbehaves.

    ``time`` None: by this clock; ``always``: the same answer to whatever is asked; ``url``: while it is served.
    """

    name: str = "auditkit test TSA"
    behave: str = "well"
    time: datetime | None = None
    for_stamps: bool = True
    always: bytes | None = None
    url: str = ""
    requests: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        now = datetime.now(UTC)
        purpose = ExtendedKeyUsageOID.TIME_STAMPING if self.for_stamps else ExtendedKeyUsageOID.CODE_SIGNING
        usage = x509.ExtendedKeyUsage([purpose])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=3650))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(usage, critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def stamper(self) -> DummyTimeStamper:
        """pyHanko's stamper for tests with this certificate."""
        der = serialization.Encoding.DER
        private = self.key.private_bytes(der, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return DummyTimeStamper(
            asn1_x509.Certificate.load(self.certificate.public_bytes(der)),
            asn1_keys.PrivateKeyInfo.load(private),
            fixed_dt=self.time,
        )

    def answer(self, request: bytes) -> bytes:
        """The response to a request, both DER."""
        self.requests.append(request)
        if self.always is not None:
            return self.always
        asked = tsp.TimeStampReq.load(request)
        if self.behave == "another digest":
            imprint = asked["message_imprint"]
            imprint["hashed_message"] = bytes(len(imprint["hashed_message"].native))
        response: bytes = asyncio.run(self.stamper.async_request_tsa_response(asked)).dump()
        return response


@contextmanager
def served(authority: Authority, port: int = 0) -> Iterator[str]:
    """The authority's address while it is served; ``port`` 0: any that is free."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            status, kind, content = _response(authority, request)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        authority.url = f"http://127.0.0.1:{server.server_port}/tsr"
        yield authority.url
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def local_tsa(authority: Authority | None = None) -> Iterator[Authority]:
    """An authority while it is served; by default a new one that behaves well."""
    known = authority or Authority()
    with served(known):
        yield known


def _response(authority: Authority, request: bytes) -> tuple[int, str, bytes]:
    reply = "application/timestamp-reply"
    match authority.behave:
        case "busy":
            return 503, "text/plain", b"later"
        case "elsewhere":
            return 302, "text/plain", b""
        case "a web page":
            return 200, "text/html", b"<html>"
        case "nonsense":
            return 200, reply, b"\x30\x82nonsense"
        case "endless":
            return 200, reply, bytes(3 << 20)
        case "refuses":
            status = tsp.PKIStatusInfo({"status": "rejection", "status_string": ["no more today\x1b[31m"]}).dump()
            return 200, reply, b"\x30" + bytes([len(status)]) + status
    return 200, reply, authority.answer(request)

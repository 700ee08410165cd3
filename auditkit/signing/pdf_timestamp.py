"""The RFC 3161 time stamp in a PDF's signature (PAdES B-T): asked of an authority over HTTP, and checked offline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from auditkit.errors import SigningError
from auditkit.signing.files import visible
from auditkit.signing.tokens import TimeStamp, checked

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SECONDS = 30
ANSWER_LIMIT = 1 << 20
DAMAGED = "its time stamp does not fit its signature, or is damaged"


def host_of(url: str) -> str:
    """The machine behind an address."""
    return urlsplit(url).hostname or url


def time_stamper(url: str) -> Any:
    """A pyHanko time stamper for this address. It sends a digest of the signature, and nothing else."""
    from pyhanko.sign.timestamps import TimeStamper

    class BoundedTimeStamper(TimeStamper):
        """pyHanko's protocol over a plain request: bounded in time and size, and sent to this address only."""

        async def async_request_tsa_response(self, req: Any) -> Any:
            return _response(await asyncio.to_thread(_post, url, req.dump()))

        async def async_timestamp(self, message_digest: bytes, md_algorithm: str) -> Any:
            try:
                return await super().async_timestamp(message_digest, md_algorithm)
            except SigningError:
                raise
            except Exception as error:  # what an authority sends may break its parser in any way
                reason = visible(str(error)) or type(error).__name__
                raise _failed(url, f"its answer is no time stamp ({reason})") from None

    return BoundedTimeStamper()  # type: ignore[no-untyped-call]


def _response(content: bytes) -> Any:
    """An answer as asn1crypto reads it; a refusal holds no token, which its own class does not foresee."""
    from asn1crypto.cms import ContentInfo
    from asn1crypto.tsp import PKIStatusInfo, TimeStampResp

    class Response(TimeStampResp):  # type: ignore[misc]
        _fields = [("status", PKIStatusInfo), ("time_stamp_token", ContentInfo, {"optional": True})]  # noqa: RUF012

    return Response.load(content, strict=True)


def _post(url: str, request: bytes) -> bytes:
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class NoRedirect(HTTPRedirectHandler):
        """Whoever checked the policy was told of one address."""

        def redirect_request(self, *_: Any) -> None:
            return None

    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    asked = Request(url, request, headers)  # noqa: S310 - the policy takes http and https only
    try:
        with build_opener(NoRedirect).open(asked, timeout=SECONDS) as answer:
            content: bytes = answer.read(ANSWER_LIMIT + 1)
            kind = answer.headers.get_content_type()
    except (OSError, ValueError) as error:
        raise _failed(url, visible(str(getattr(error, "reason", error)))) from None
    if len(content) > ANSWER_LIMIT or kind != "application/timestamp-reply":
        raise _failed(url, "its answer is no time stamp")
    return content


def _failed(url: str, reason: str) -> SigningError:
    return SigningError(
        f"the time stamp authority at {host_of(url)} gave no time stamp: {reason}",
        "the audit itself is done and kept; try again when the authority can be reached",
    )


def check_stamp(signature: Any, authority: Certificate | None) -> tuple[TimeStamp | None, list[str]]:
    """The time stamp of an embedded signature, and what is wrong with it.

    Args:
        signature: of a PDF, as pyHanko reads it.
        authority: the certificate of the authority, or of the one that issued the authority's; None for any.
    """
    tokens = _tokens(signature.signer_info)
    if not tokens:
        return None, ["it carries no time stamp"] if authority else []
    if len(tokens) > 1:
        return None, [f"it carries {len(tokens)} time stamps instead of one"]
    try:
        stamp = checked(tokens[0], _imprint(signature), [authority] if authority else [])
    except ValueError:
        return None, [DAMAGED]
    if authority and not stamp.trusted:
        return stamp, ["its time stamp is not by the authority whose certificate was given"]
    return stamp, _too_early_or_late(signature, stamp)


def _imprint(signature: Any) -> Callable[[str], bytes]:
    """The signature's own bytes under whatever digest the token takes."""
    import hashlib

    signed: bytes = signature.signer_info["signature"].native
    return lambda algorithm: hashlib.new(algorithm, signed, usedforsecurity=False).digest()


def _tokens(signer_info: Any) -> list[Any]:
    from asn1crypto.core import VOID

    attributes = signer_info["unsigned_attrs"]
    if attributes is VOID or not attributes.native:
        return []
    wanted = [one for one in attributes if one["type"].native == "signature_time_stamp_token"]
    return [value["content"] for one in wanted for value in one["values"]]


def _too_early_or_late(signature: Any, stamp: TimeStamp) -> list[str]:
    """A certificate vouches only for what was signed while it was valid."""
    validity = signature.signer_cert["tbs_certificate"]["validity"]
    if validity["not_before"].native <= stamp.time <= validity["not_after"].native:
        return []
    return ["it was time-stamped outside the validity of its certificate"]

"""RFC 3161 time stamps over a digest: asked of an authority and checked with pyHanko. Only the digest is ever sent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from auditkit.errors import SigningError
from auditkit.signing.files import visible
from auditkit.signing.pdf_signature import as_asn1, require_pyhanko
from auditkit.signing.pdf_timestamp import time_stamper

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SIZE_LIMIT = 256 << 10  # of a token; those of public authorities have about 6 KiB
T = TypeVar("T")


@dataclass(frozen=True)
class TimeStamp:
    """What a token says: ``time`` in UTC, by the ``authority`` that its signing certificate names."""

    time: datetime
    authority: str


def request_token(url: str, digest: bytes) -> bytes:
    """A time-stamp token (DER) over a SHA-256 digest of 32 bytes, from the authority at ``url``.

    Raises:
        SigningError: the authority cannot be reached, refuses, or sends what is no token over this digest.
        MissingExtraError: pyHanko is not installed.
    """
    require_pyhanko()
    hint = "try again later, or name another authority in report.sign.timestamp"
    try:
        token: bytes = _run(time_stamper(url).async_timestamp(digest, "sha256")).dump()
        check_token(token, digest)
    except SigningError as error:
        raise SigningError(error.message, hint) from None
    except ValueError as error:
        raise SigningError(f"no time stamp from {visible(url)}: {error}", hint) from None
    return token


def check_token(token: bytes, digest: bytes, trusted: Sequence[Certificate] | None = None) -> TimeStamp:
    """What a token says, once its signature and digest hold.

    Args:
        token: DER bytes of a CMS ContentInfo.
        digest: The SHA-256 digest (32 bytes) that must have been stamped.
        trusted: Certificates of authorities, one of which must have issued the signing certificate, as of the time
            stamped; None: whoever signed is only named.

    Raises:
        ValueError: no token, damaged, over another digest, by a certificate that is not for time stamps, or by an
            authority that is not trusted.
        MissingExtraError: pyHanko is not installed.
    """
    require_pyhanko()
    if len(token) > SIZE_LIMIT:
        raise ValueError(f"it is longer than {SIZE_LIMIT:,} bytes")
    try:
        signed, when = _parsed(token)
        status = _run(_validated(signed, digest, trusted, when))
    except Exception:  # as above
        raise ValueError("it is no time-stamp token, or is damaged") from None
    certificate = status["signing_cert"]
    usage = certificate.extended_key_usage_value
    if not (status["intact"] and status["valid"]):
        raise ValueError("its signature does not hold, or it stamps something else")
    if usage is None or "time_stamping" not in usage.native:
        raise ValueError("its signing certificate is not one for time stamps")
    if trusted is not None and status.get("trust_problem_indic") is not None:
        raise ValueError("its signing certificate was not issued by a trusted authority")
    return TimeStamp(when, _name(certificate))


def _name(certificate: Any) -> str:
    """What an authority calls itself: by its common name and organisation, else by its whole subject."""
    subject = certificate.subject.native
    names = [subject.get(part) for part in ("common_name", "organization_name")]
    told = ", ".join(dict.fromkeys(str(name) for name in names if name))
    return visible(told or certificate.subject.human_friendly)


def _parsed(token: bytes) -> tuple[Any, datetime]:
    from asn1crypto.cms import ContentInfo

    signed = ContentInfo.load(token, strict=True)["content"]
    when: datetime = signed["encap_content_info"]["content"].parsed["gen_time"].native
    return signed, when


def _validated(
    signed: Any, digest: bytes, trusted: Sequence[Certificate] | None, when: datetime
) -> Coroutine[Any, Any, dict[str, Any]]:
    from pyhanko.sign.validation.generic_cms import validate_tst_signed_data
    from pyhanko_certvalidator import ValidationContext

    roots = [as_asn1(certificate) for certificate in trusted or ()]
    context = ValidationContext(trust_roots=roots, moment=when, allow_fetching=False)
    expected = {"sha256": digest}
    found: Coroutine[Any, Any, dict[str, Any]]
    found = validate_tst_signed_data(signed, context, lambda name: expected.get(name, b""))
    return found


def _run(work: Coroutine[Any, Any, T]) -> T:
    """In a thread of its own, so that its event loop does not meet a notebook's."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()

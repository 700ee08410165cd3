"""RFC 3161 time stamps over a digest: asked of an authority and checked with pyHanko. Only the digest is ever sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from auditkit.errors import SigningError
from auditkit.signing.files import visible
from auditkit.signing.pdf_signature import require_pyhanko
from auditkit.signing.pdf_timestamp import time_stamper
from auditkit.signing.tokens import DAMAGED, TimeStamp, checked, run

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["SIZE_LIMIT", "TimeStamp", "check_token", "request_token"]

SIZE_LIMIT = 256 << 10  # of a token; those of public authorities have about 6 KiB


def request_token(url: str, digest: bytes) -> bytes:
    """A time-stamp token (DER) over a SHA-256 digest of 32 bytes, from the authority at ``url``.

    Raises:
        SigningError: the authority cannot be reached, refuses, or sends what is no token over this digest.
        MissingExtraError: pyHanko is not installed.
    """
    require_pyhanko()
    hint = "try again later, or name another authority in report.sign.timestamp"
    try:
        token: bytes = run(time_stamper(url).async_timestamp(digest, "sha256")).dump()
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
    from asn1crypto.cms import ContentInfo

    if len(token) > SIZE_LIMIT:
        raise ValueError(f"it is longer than {SIZE_LIMIT:,} bytes")
    try:
        signed = ContentInfo.load(token, strict=True)["content"]
    except Exception:  # as `checked`
        raise ValueError(DAMAGED) from None
    stamp = checked(signed, lambda name: digest if name == "sha256" else b"", trusted or ())
    if trusted is not None and not stamp.trusted:
        raise ValueError("its signing certificate was not issued by a trusted authority")
    return stamp

"""An RFC 3161 token, checked offline by pyHanko: its signature, what it stamps, and who made it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from auditkit.signing.files import visible

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

T = TypeVar("T")
DAMAGED = "it is no time-stamp token, or is damaged"


@dataclass(frozen=True)
class TimeStamp:
    """What a token says: ``time`` in UTC, by the ``authority`` that its signing certificate names.

    ``trusted``: that certificate goes back to one that the reader gave. Without one anybody may have made it.
    """

    time: datetime
    authority: str
    trusted: bool = False

    @property
    def sentence(self) -> str:
        """To follow "report.pdf "."""
        when = self.time.strftime("%Y-%m-%d %H:%M:%S UTC")
        known = "" if self.trusted else "; the authority was not checked: give its certificate (--tsa-cert)"
        return f"was time-stamped at {when} by {self.authority}{known}"


def checked(token: Any, imprint: Callable[[str], bytes], roots: Sequence[Certificate]) -> TimeStamp:
    """What a token says, once its signature holds and it stamps what it must.

    Args:
        token: CMS SignedData, as asn1crypto reads it.
        imprint: What must have been stamped, by the name of the digest; b"" for a digest that is not taken.
        roots: One of these must have issued the signing certificate, as of the time stamped, for it to be trusted.

    Raises:
        ValueError: damaged, over something else, or by a certificate that is not for time stamps.
    """
    try:
        when: datetime = token["encap_content_info"]["content"].parsed["gen_time"].native
        status = run(_status(token, imprint, roots, when))
        certificate = status["signing_cert"]
        usage, name = certificate.extended_key_usage_value, _name(certificate)
    except Exception:  # a damaged or hostile token makes its parser fail in any way; each means the same to us
        raise ValueError(DAMAGED) from None
    if not (status["intact"] and status["valid"]):
        raise ValueError("its signature does not hold, or it stamps something else")
    if usage is None or "time_stamping" not in usage.native:
        raise ValueError("its signing certificate is not one for time stamps")
    return TimeStamp(when, name, bool(roots) and status.get("trust_problem_indic") is None)


def run(work: Coroutine[Any, Any, T]) -> T:
    """In a thread of its own, so that its event loop does not meet a notebook's."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


def _status(
    token: Any, imprint: Callable[[str], bytes], roots: Sequence[Certificate], when: datetime
) -> Coroutine[Any, Any, dict[str, Any]]:
    from pyhanko.sign.validation.generic_cms import validate_tst_signed_data
    from pyhanko_certvalidator import ValidationContext

    from auditkit.signing.pdf_signature import as_asn1

    trusted = [as_asn1(certificate) for certificate in roots]
    context = ValidationContext(trust_roots=trusted, moment=when, allow_fetching=False)
    found: Coroutine[Any, Any, dict[str, Any]] = validate_tst_signed_data(token, context, imprint)
    return found


def _name(certificate: Any) -> str:
    """What an authority calls itself: by its common name and organisation, else by its whole subject."""
    subject = certificate.subject.native
    names = [subject.get(part) for part in ("common_name", "organization_name")]
    told = ", ".join(dict.fromkeys(str(name) for name in names if name))
    return visible(told or certificate.subject.human_friendly)

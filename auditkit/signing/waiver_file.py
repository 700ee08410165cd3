"""waivers.dsse.json: every waiver of one policy in one signed envelope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from auditkit import strict_json
from auditkit.report.base import Waiver
from auditkit.signing import dsse
from auditkit.signing.files import visible

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

WAIVERS, APPROVER = "waivers.dsse.json", "waivers.pub"  # their names in a run folder
WAIVERS_TYPE = "application/vnd.auditkit.waivers+json"
SIZE_LIMIT = 4 << 20
MOST_WAIVERS = 1000


class WaiverSheet(BaseModel):
    """What is signed: the waivers of the policy of this name, numbered from 1 in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    policy: Annotated[str, Field(min_length=1, max_length=80)]
    waivers: Annotated[tuple[Waiver, ...], Field(max_length=MOST_WAIVERS)] = ()


@dataclass(frozen=True)
class SignedWaivers:
    """A sheet as read; only one that is ``by_approver`` is worth anything."""

    sheet: WaiverSheet
    by_approver: bool
    signed: bool


def seal(sheet: WaiverSheet, signer: CryptoSigner | None) -> bytes:
    """The envelope around the sheet, canonical JSON inside and out."""
    return dsse.seal(strict_json.canonical(sheet.model_dump(mode="json")), signer, WAIVERS_TYPE)


def read(content: bytes, approver: SSlibKey) -> SignedWaivers:
    """The waivers in these bytes, and whether the approver signed them.

    Raises:
        ValueError: no waiver file: malformed, too long, not canonical; the message completes "the waiver file ...".
    """
    if len(content) > SIZE_LIMIT:
        raise ValueError(f"is longer than {SIZE_LIMIT:,} bytes")
    try:
        envelope = dsse.read(content, WAIVERS_TYPE)
        sheet = WaiverSheet.model_validate(strict_json.parse_canonical(envelope.payload))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in found["loc"]) or "payload"
        said = visible(f"{place}: {found['msg']}")
        raise ValueError(f"is malformed ({said})") from None
    except ValueError as error:
        raise ValueError(f"is malformed ({visible(str(error))})") from None
    if strict_json.canonical(sheet.model_dump(mode="json")) != envelope.payload:
        raise ValueError("is malformed (values of the wrong type, or left out)")
    return SignedWaivers(sheet, dsse.is_signed_by(envelope, approver), bool(envelope.signatures))

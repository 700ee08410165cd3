"""DSSE envelopes: signed and read by securesystemslib, and accepted in one spelling only."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from auditkit import strict_json
from auditkit.signing.base import PAYLOAD_TYPE, Digest

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey


class _Signature(BaseModel):
    model_config = ConfigDict(extra="forbid")
    keyid: Digest
    sig: Annotated[str, Field(max_length=1024)]


class _Form(BaseModel):
    """What is asked of an envelope before securesystemslib sees it."""

    model_config = ConfigDict(extra="forbid")
    payload: str
    payloadType: str  # noqa: N815 - the format's name for it
    signatures: Annotated[list[_Signature], Field(max_length=1)]


def seal(payload: bytes, signer: CryptoSigner | None, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The envelope around a payload as canonical JSON; without a signer it holds no signature."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, payload_type, {})
    if signer:
        envelope.sign(signer)
    return strict_json.canonical(envelope.to_dict())


def read(content: bytes, payload_type: str = PAYLOAD_TYPE) -> Envelope:
    """The envelope in these bytes. The type is part of what is signed: a statement is never taken for something else.

    Raises:
        ValueError: not an envelope of this type, in its canonical spelling, with at most one signature.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import Signature

    try:
        form = _Form.model_validate(strict_json.parse_canonical(content))
        if form.payloadType != payload_type:
            raise ValueError(f"not a DSSE envelope of {payload_type}")
        payload = base64.b64decode(form.payload, validate=True)
        raw = {s.keyid: Signature(s.keyid, base64.b64decode(s.sig, validate=True).hex()) for s in form.signatures}
    except (ValidationError, binascii.Error):
        raise ValueError(f"not a DSSE envelope of {payload_type} with at most one signature") from None
    envelope = Envelope(payload, form.payloadType, raw)
    if strict_json.canonical(envelope.to_dict()) != content:  # base64 has several spellings of the same bytes
        raise ValueError("not in canonical form")
    return envelope


def is_signed_by(envelope: Envelope, key: SSlibKey) -> bool:
    """Whether the envelope carries a valid signature of this key."""
    from securesystemslib.exceptions import VerificationError

    try:
        envelope.verify([key], 1)
    except (VerificationError, ValueError):
        return False
    return True

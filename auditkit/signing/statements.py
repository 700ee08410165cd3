"""In-toto statements of any kind in DSSE envelopes: sealed, and accepted in one spelling only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import Field, ValidationError

from auditkit import strict_json
from auditkit.signing import dsse
from auditkit.signing.base import STATEMENT_TYPE, Facts, SignerFacts, StatementType, Subject

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey

S = TypeVar("S", bound=Facts)
K = TypeVar("K", bound=str)
P = TypeVar("P", bound=Facts)


class StatementAbout(Facts, Generic[K, P]):
    """An in-toto v1 Statement about one file: ``K`` is the type of its predicate, ``P`` the predicate."""

    type: Annotated[StatementType, Field(alias="_type")]
    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[K, Field(alias="predicateType")]
    predicate: P


def about(name: str, sha256: str, predicate_type: str, predicate: Facts) -> dict[str, Any]:
    """The fields of a statement about a file of this name and digest (hex)."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
        "predicateType": predicate_type,
        "predicate": predicate.model_dump(),
    }


def seal(statement: Facts, signer: CryptoSigner | None) -> bytes:
    """The envelope around a statement as canonical JSON; without a signer it holds no signature."""
    return dsse.seal(strict_json.canonical(statement.model_dump(mode="json", by_alias=True)), signer)


def opened(content: bytes, form: type[S]) -> tuple[Envelope, S]:
    """The envelope and its statement: well-formed, but nothing of it checked yet.

    Raises:
        ValueError: no envelope, no statement of this form, or not in canonical form; the message says which.
    """
    try:
        envelope = dsse.read(content)
        raw = strict_json.parse_canonical(envelope.payload)
        statement = form.model_validate(raw)
    except ValidationError as error:
        raise ValueError(_first(error)) from None
    # Say "5" for 5, and two programs read two things; what an earlier version did not know of is not there.
    if statement.model_dump(mode="json", by_alias=True, exclude_unset=True) != raw:
        raise ValueError("values of the wrong type, or left out")
    return envelope, statement


def key_of(signer: SignerFacts) -> SSlibKey:
    """The public key that a statement names as its signer's."""
    from securesystemslib.signer import SSlibKey

    return SSlibKey(signer.key_id, "ed25519", "ed25519", {"public": signer.public_key})


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in found['loc']) or 'payload'}: {found['msg']}"

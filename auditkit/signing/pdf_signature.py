"""The signature inside a PDF report: made and checked by pyHanko, readable by pdfsig and by PDF viewers.

No network, but for a time stamp where the policy asks for one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from auditkit.errors import MissingExtraError, SigningError
from auditkit.files import write_bytes
from auditkit.signing.files import read_bounded
from auditkit.signing.pdf_timestamp import check_stamp, time_stamper
from auditkit.signing.tokens import TimeStamp

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from auditkit.signing.keys import SigningKeys

FIELD = "auditkit"
SIZE_LIMIT = 512 << 20
DAMAGED = "its signature does not fit its content: the file was changed, or its signature is damaged"


def sign_pdf(path: Path, keys: SigningKeys, reason: str, timestamp: str | None = None) -> None:
    """Sign a PDF in place: PAdES, ECDSA P-256 over SHA-256, certificate embedded, nothing visible on the pages.

    The signature certifies the file: any later change to it, form filling included, makes it invalid.

    Args:
        timestamp: the address of an RFC 3161 authority, which then says when the signature was there (PAdES B-T).

    Raises:
        SigningError: no readable PDF, it is signed already, or the authority gave no time stamp; the file is as it was.
        RunError: the file cannot be written.
        MissingExtraError: pyHanko is not installed.
    """
    require_pyhanko()
    content = path.read_bytes()
    stamper = time_stamper(timestamp) if timestamp else None
    write_bytes(path, _in_a_thread(lambda: _signed(content, keys, reason, str(path), stamper)))


_Made = TypeVar("_Made")


def _in_a_thread(work: Callable[[], _Made]) -> _Made:
    """pyHanko runs an event loop of its own; in a thread of its own it does not meet a notebook's."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(work).result()


def check_pdf(path: Path, certificate_sha256: str | None, authority: Certificate | None = None) -> list[str]:
    """What is wrong with the signature of a PDF; each sentence completes "report.pdf: ...".

    Args:
        path: A regular file.
        certificate_sha256: Fingerprint (hex, of the DER bytes) of the certificate that must have signed; None for any.
        authority: Certificate of the authority whose time stamp it must carry; None for any, or none.

    Raises:
        MissingExtraError: pyHanko is not installed.
    """
    return examine_pdf(path, certificate_sha256, authority)[1]


def examine_pdf(
    path: Path, certificate_sha256: str | None, authority: Certificate | None = None
) -> tuple[TimeStamp | None, list[str]]:
    """The time stamp of a PDF's signature, None where it has none, and what is wrong, as `check_pdf`."""
    require_pyhanko()
    try:
        signatures = _signatures(read_bounded(path, SIZE_LIMIT))
        if len(signatures) != 1:
            many = f"it carries {len(signatures)} signatures instead of one"
            return None, [many if signatures else "it carries no signature"]
        problems = _problems(signatures[0], certificate_sha256)
        stamp, wrong = _in_a_thread(lambda: check_stamp(signatures[0], authority))
        return stamp, [*problems, *wrong]
    except Exception:  # a damaged or hostile PDF makes its parser fail in any way; each means the same to us
        return None, [DAMAGED]


def require_pyhanko() -> None:
    """Raise MissingExtraError where pyHanko is not installed."""
    if find_spec("pyhanko") is None:
        raise MissingExtraError("pyHanko (it signs and checks the PDF)", "pdf")


def _signed(content: bytes, keys: SigningKeys, reason: str, name: str, stamper: Any) -> bytes:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.sign import signers
    from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
    from pyhanko.sign.general import SigningError as RefusedError

    description = signers.PdfSignatureMetadata(
        field_name=FIELD,
        md_algorithm="sha256",
        reason=reason,
        subfilter=SigSeedSubFilter.PADES,
        certify=True,
        docmdp_permissions=MDPPerm.NO_CHANGES,
    )
    try:
        writer = IncrementalPdfFileWriter(BytesIO(content))
        if writer.prev.embedded_signatures:
            raise SigningError(f"{name} is signed already", "render it again before signing")
        signed: BytesIO = signers.sign_pdf(writer, description, _signer(keys), timestamper=stamper)
    except (PdfError, RefusedError) as error:
        raise SigningError(f"{name} cannot be signed: {error}", "render it again") from None
    return signed.getvalue()


def _signer(keys: SigningKeys) -> Any:
    from asn1crypto.keys import PrivateKeyInfo
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from pyhanko.sign.signers import SimpleSigner
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    return SimpleSigner(
        signing_cert=as_asn1(keys.certificate),
        signing_key=PrivateKeyInfo.load(keys.pdf_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
        cert_registry=SimpleCertificateStore(),  # type: ignore[no-untyped-call]
    )


def as_asn1(certificate: Certificate) -> Any:
    """A certificate as pyHanko takes it."""
    from asn1crypto.x509 import Certificate as Asn1Certificate
    from cryptography.hazmat.primitives.serialization import Encoding

    return Asn1Certificate.load(certificate.public_bytes(Encoding.DER))


def _signatures(content: bytes) -> list[Any]:
    from pyhanko.pdf_utils.reader import PdfFileReader

    return list(PdfFileReader(BytesIO(content)).embedded_signatures)


def _problems(signature: Any, certificate_sha256: str | None) -> list[str]:
    """Integrity, coverage and signer. Trust is not asked of anybody: the very certificate must be the expected one."""
    from pyhanko.sign.validation import SignatureCoverageLevel
    from pyhanko.sign.validation.generic_cms import validate_sig_integrity

    intact, valid = validate_sig_integrity(
        signature.signer_info,
        signature.signer_cert,
        expected_content_type="data",
        actual_digest=signature.compute_digest(),
    )
    problems = [] if intact and valid else [DAMAGED]
    if signature.evaluate_signature_coverage() != SignatureCoverageLevel.ENTIRE_FILE:
        problems.append("its signature does not cover the whole file: something was added after signing")
    if certificate_sha256 and signature.signer_cert.sha256.hex() != certificate_sha256:
        problems.append(f"it is signed with another certificate, SHA-256 {signature.signer_cert.sha256.hex()}")
    when, validity = signature.self_reported_timestamp, signature.signer_cert["tbs_certificate"]["validity"]
    if when is None or not validity["not_before"].native <= when <= validity["not_after"].native:
        problems.append("it was signed outside the validity of its certificate")
    return problems

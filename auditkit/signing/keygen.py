"""New signing keys and a certificate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from auditkit.errors import SigningError
from auditkit.signing.files import create

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate, Name

DAYS = 730
MAX_DAYS = 36_500
CLOCK_SKEW = timedelta(minutes=5)  # a machine whose clock is a little behind may use the certificate at once


@dataclass(frozen=True)
class KeyFiles:
    """Where the keys were written. Only ``private`` is secret."""

    private: Path
    public: Path
    certificate: Path


def generate(folder: Path, *, subject: str = "auditkit", label: str = "", days: int = DAYS) -> KeyFiles:
    """Write ``auditkit.key`` (0600), ``auditkit.pub`` and ``certificate.pem`` into ``folder``; nothing is overwritten.

    Args:
        folder: Made (0700) where it does not exist.
        subject: Who signs, the certificate's common name; at most 64 characters together with the label.
        label: A mark such as DEMO; it becomes part of the common name, and the certificate's organisational unit.
        days: How long the certificate is valid, 1 to 36500.

    Raises:
        SigningError: a file of one of these names exists, the folder cannot be written, or an argument is unusable.
    """
    if not 1 <= days <= MAX_DAYS:
        raise SigningError(f"a certificate is valid for 1 to {MAX_DAYS} days, not {days}")
    files = KeyFiles(folder / "auditkit.key", folder / "auditkit.pub", folder / "certificate.pem")
    contents = _contents(subject, label, days)
    written: list[Path] = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, mode in ((files.private, 0o600), (files.public, 0o644), (files.certificate, 0o644)):
            create(path, contents[path.name], mode)
            written.append(path)
    except OSError as error:
        for path in written:  # half a set of keys would only puzzle its finder
            path.unlink(missing_ok=True)
        raise _refusal(error, folder) from None
    return files


def _refusal(error: OSError, folder: Path) -> SigningError:
    if isinstance(error, FileExistsError):
        return SigningError(f"{error.filename} exists, and keys are never overwritten", "choose another folder")
    return SigningError(f"cannot write keys into {folder}: {error.strerror}", "choose another folder")


def _contents(subject: str, label: str, days: int) -> dict[str, bytes]:
    """What stands in each file."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    ed25519, p256 = Ed25519PrivateKey.generate(), generate_private_key(SECP256R1())
    return {
        "auditkit.key": _private_pem(ed25519) + _private_pem(p256),
        "auditkit.pub": ed25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "certificate.pem": _certificate(p256, _name(subject, label), days).public_bytes(Encoding.PEM),
    }


def _private_pem(key: PrivateKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(subject: str, label: str) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    common = f"{subject} {label}".strip()
    if not subject.strip() or not common.isprintable():
        raise SigningError("the subject and the label must be printable text", "for instance: --subject 'Example AI'")
    try:
        unit = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, label)] if label else []
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common), *unit])
    except ValueError:
        raise SigningError("subject and label are longer than 64 characters together", "shorten them") from None


def _certificate(key: EllipticCurvePrivateKey, name: Name, days: int) -> Certificate:
    """A self-signed certificate that is good for signatures and nothing else."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    now = datetime.now(UTC)
    usage = dict.fromkeys(_USAGES, False) | {"digital_signature": True, "content_commitment": True}
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )


_USAGES = (
    "digital_signature",
    "content_commitment",  # RFC 5280's nonRepudiation
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)

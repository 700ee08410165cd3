"""Signing keys: made, loaded, and never shown.

An Ed25519 key signs the attestation, an ECDSA P-256 key with a certificate the PDF: Debian's pdfsig reads no Ed25519.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from auditkit.errors import SigningError
from auditkit.signing.files import read_bounded, visible

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate
    from securesystemslib.signer import CryptoSigner, SSlibKey

SIZE_LIMIT = 64 << 10
PRIVATE_BLOCK = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
NEW_KEYS = "make new ones: auditkit keygen"


@dataclass(frozen=True)
class SigningKeys:
    """What signs a run. ``warnings`` are sentences for the user; the secret parts have no repr."""

    attestation_key: Ed25519PrivateKey = field(repr=False)
    pdf_key: EllipticCurvePrivateKey = field(repr=False)
    certificate: Certificate
    warnings: tuple[str, ...] = ()

    @cached_property
    def public_key(self) -> SSlibKey:
        """The Ed25519 public key that verifies the attestation."""
        from securesystemslib.signer import SSlibKey

        return SSlibKey.from_crypto(self.attestation_key.public_key())

    @property
    def key_id(self) -> str:
        """The key's id in the envelope (hex), as securesystemslib computes it."""
        return self.public_key.keyid

    @property
    def dsse_signer(self) -> CryptoSigner:
        """What securesystemslib signs an envelope with."""
        from securesystemslib.signer import CryptoSigner

        return CryptoSigner(self.attestation_key, self.public_key)

    @property
    def subject(self) -> str:
        """The certificate's subject, e.g. ``CN=auditkit DEMO,O=DEMO``."""
        return self.certificate.subject.rfc4514_string()

    @property
    def label(self) -> str:
        """What keygen's --label was ("DEMO" for a demonstration), "" for a certificate without one."""
        from cryptography.x509.oid import NameOID

        found = self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        return str(found[0].value) if found and self.certificate.subject == self.certificate.issuer else ""

    @property
    def signer_facts(self) -> dict[str, str]:
        """Key and certificate as the attestation states them."""
        return {
            "key_id": self.key_id,
            "public_key": self.public_key.keyval["public"],
            "certificate_sha256": fingerprint(self.certificate),
        }


def resolve(policy_key: str) -> str:
    """The key material that a policy's ``env:NAME`` points to: PEM text, or the path of a key file.

    Raises:
        SigningError: the variable is unset or empty.
    """
    name = policy_key.removeprefix("env:")
    if value := os.environ.get(name, "").strip():
        return value
    raise SigningError(
        f"the policy asks for a signature, but the environment variable {name} is not set",
        f"export {name}=PATH/auditkit.key (made by `auditkit keygen`), or say `sign: none` in the policy",
    )


def load_signing_keys(material: str, certificate: Path) -> SigningKeys:
    """The keys behind ``material``, checked against the certificate.

    Args:
        material: PEM text with an Ed25519 and an ECDSA P-256 private key, or the path of a file that holds it.
        certificate: PEM file with the certificate of the P-256 key.

    Raises:
        SigningError: missing, unreadable, encrypted or wrong keys; a certificate of another key, or one that is not
            valid today. No message repeats the material.
    """
    text, warnings = _private_text(material)
    ed25519, p256 = _private_keys(text)
    found = load_certificate(certificate)
    if found.public_key() != p256.public_key():
        raise SigningError(f"the certificate {certificate} does not belong to the signing key", NEW_KEYS)
    _check_usable(found, certificate)
    return SigningKeys(ed25519, p256, found, warnings)


def load_signer(material: str) -> CryptoSigner:
    """What signs with the one Ed25519 private key in ``material``: PEM text, or the path of a key file.

    Raises:
        SigningError: missing, unreadable or encrypted, or not exactly one Ed25519 key in it.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner, SSlibKey

    text, _ = _private_text(material)
    keys = [_private_key(block) for block in PRIVATE_BLOCK.findall(text)]
    found = [key for key in keys if isinstance(key, Ed25519PrivateKey)]
    if len(found) != 1:
        raise SigningError("the signing key must hold one Ed25519 private key", NEW_KEYS)
    return CryptoSigner(found[0], SSlibKey.from_crypto(found[0].public_key()))


def given_signer(key: str) -> CryptoSigner:
    """What signs with a key as a command takes it: ``env:NAME``, PEM text, or the path of a key file.

    Raises:
        SigningError: as for ``load_signer``; the variable is not set, or the path is no file. The key is not repeated.
    """
    if key.startswith("env:"):
        name = key.removeprefix("env:")
        if not os.environ.get(name, "").strip():
            raise SigningError(
                f"the environment variable {name} is not set, and the signing key was to be in it",
                f"export {name}=PATH of the private key (made by `auditkit keygen`), or give the path itself",
            )
        return load_signer(resolve(key))
    if "-----BEGIN" not in key and not _is_file(key):
        raise SigningError("there is no signing key at the path given", "check the path, or give --key env:NAME")
    return load_signer(key)


def _is_file(path: str) -> bool:
    try:
        return Path(path).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def load_public_key(source: Path | str) -> SSlibKey:
    """The Ed25519 public key in a PEM file, or in PEM text.

    Raises:
        SigningError: unreadable, or another kind of key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    content, place = _pem(source, "public key")
    if b"PRIVATE KEY" in content:
        raise SigningError(f"{place} is a private key: verifying needs the public one", "give auditkit.pub")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise SigningError(f"{place} is no public key in PEM form", "give the auditkit.pub that keygen wrote") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SigningError(f"{place} is no Ed25519 key", "give the auditkit.pub that keygen wrote")
    return SSlibKey.from_crypto(key)


def load_certificate(source: Path | str) -> Certificate:
    """The (first) certificate in a PEM file, or in PEM text.

    Raises:
        SigningError: unreadable, or no certificate.
    """
    from cryptography.x509 import load_pem_x509_certificates

    content, place = _pem(source, "certificate")
    try:
        found = load_pem_x509_certificates(content)[0]
        found.public_key()
    except Exception:  # cryptography lets many kinds out of a malformed certificate; each means the same to us
        raise SigningError(f"{place} is no usable X.509 certificate in PEM form", NEW_KEYS) from None
    return found


def fingerprint(certificate: Certificate) -> str:
    """SHA-256 (hex) of the certificate's DER bytes."""
    from cryptography.hazmat.primitives.hashes import SHA256

    return certificate.fingerprint(SHA256()).hex()


def _pem(source: Path | str, what: str) -> tuple[bytes, str]:
    """PEM bytes, and how to name their place."""
    if isinstance(source, str) and "-----BEGIN" in source:
        return source.encode(), f"the {what} given"
    place = visible(str(source))
    try:
        return read_bounded(Path(source).resolve(), SIZE_LIMIT), place
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SigningError(f"cannot read the {what} {place}: {reason}", f"check the path, or {NEW_KEYS} DIR") from None


def _private_text(material: str) -> tuple[str, tuple[str, ...]]:
    if "-----BEGIN" in material:
        return material.replace("\\n", "\n"), ()  # CI systems store line ends as the two characters \n
    # The material may be a secret that was pasted wrongly: no message may repeat it, not even as a path.
    try:
        path = Path(material).expanduser().resolve()
        text = read_bounded(path, SIZE_LIMIT).decode("ascii")
        open_to_others = path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    except (OSError, ValueError, RuntimeError):
        raise SigningError(
            "the signing key is neither PEM text nor the path of a readable key file",
            "set the variable to the path of auditkit.key, or to its content",
        ) from None
    warning = "the signing key's file can be read by others than its owner: chmod 600 it"
    return text, (warning,) if open_to_others else ()


def _private_keys(text: str) -> tuple[Ed25519PrivateKey, EllipticCurvePrivateKey]:
    """The one Ed25519 and the one P-256 key in PEM text."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    keys = [_private_key(block) for block in PRIVATE_BLOCK.findall(text)]
    ed25519 = [key for key in keys if isinstance(key, Ed25519PrivateKey)]
    p256 = [key for key in keys if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)]
    if (len(ed25519), len(p256), len(keys)) != (1, 1, 2):
        raise SigningError("the signing key must hold one Ed25519 and one ECDSA P-256 private key", NEW_KEYS)
    return ed25519[0], p256[0]


def _private_key(block: str) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(block.encode(), password=None)
    except TypeError:
        raise SigningError(
            "the signing key is encrypted with a password", "decrypt it, or keep it in a secret store"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise SigningError("the signing key is damaged, or of an unknown kind", NEW_KEYS) from None


def _check_usable(certificate: Certificate, path: Path) -> None:
    """Refuse to sign with a certificate that readers of the PDF would refuse."""
    from cryptography import x509

    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise SigningError(f"the certificate {path} expired on {certificate.not_valid_after_utc:%Y-%m-%d}", NEW_KEYS)
    if now < certificate.not_valid_before_utc:
        raise SigningError(f"the certificate {path} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d}")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not (usage.digital_signature or usage.content_commitment):
        raise SigningError(f"the certificate {path} may not be used for signatures", NEW_KEYS)

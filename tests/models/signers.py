"""Keys and certificates, made on the spot, and models signed with them by the model-signing library itself."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Signer:
    """A private key with its public key, and a certificate of it under a root."""

    private: Path
    public: Path
    certificate: Path
    root: Path


def make_signer(folder: Path, name: str = "Release Team") -> Signer:
    """A signer whose certificate a root of their own vouches for."""
    folder.mkdir(parents=True, exist_ok=True)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Root", root_key, "Root", root_key, authority=True)
    leaf = _certificate(name, key, "Root", root_key, authority=False)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = Signer(folder / "key.pem", folder / "key.pub", folder / "leaf.pem", folder / "root.pem")
    contents = (private, public, _pem(leaf), _pem(root))
    for path, content in zip((made.private, made.public, made.certificate, made.root), contents, strict=True):
        path.write_bytes(content)
    return made


def sign(model: Path, signature: Path, signer: Signer, *, certificate: bool = False, form: Any = None) -> Path:
    """Sign a model as its publisher would; ``form``: a hashing configuration of the library."""
    signing: Any = import_module("model_signing.signing")
    config = signing.Config()
    if certificate:
        config.use_certificate_signer(
            private_key=signer.private, signing_certificate=signer.certificate, certificate_chain=[signer.root]
        )
    else:
        config.use_elliptic_key_signer(private_key=signer.private)
    if form is not None:
        config.set_hashing_config(form)
    config.sign(model, signature)
    return signature


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, *, authority: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1 if not authority else 2))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                key_cert_sign=authority,
                crl_sign=authority,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
    )
    return builder.sign(by, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)

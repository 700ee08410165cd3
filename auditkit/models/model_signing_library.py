"""The OpenSSF model-signing library, wrapped: manifests made and signatures checked by it, its errors made ours."""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from auditkit.errors import MissingExtraError, ModelError
from auditkit.models.sandbox import printable
from auditkit.models.signer_section import SignerSection

EXTRA = "model-signing"
LONE_FILE = "."  # what the library calls the file where the model is one
IGNORED = frozenset({".git", ".gitattributes", ".github", ".gitignore"})
MISMATCH = "Signature mismatch: "


@dataclass(frozen=True)
class Manifest:
    """What the library makes of a model: the digests of its files by name, SHA-256 in hex, and one over them."""

    sha256: str
    digests: dict[str, str]
    serialisation: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """What a signature file says, before anything of it is believed. ``names`` are the files that it speaks of."""

    root_sha256: str
    serialisation: dict[str, Any]
    resources: tuple[tuple[str, str, str], ...]  # name, algorithm, digest (hex)

    @property
    def names(self) -> frozenset[str]:
        """The files, each once: large ones may be signed in pieces, NAME:START:END."""
        in_pieces = self.serialisation.get("method") == "shards"
        return frozenset(name.rsplit(":", 2)[0] if in_pieces else name for name, _, _ in self.resources)

    @property
    def speaks_of_git(self) -> bool:
        """Whether git's own files are among them, which are left out unless the signer wanted them."""
        return any(name.split("/")[0] in IGNORED for name in self.names)

    def manifest(self, signature: str) -> Manifest | None:
        """The manifest that this is, where it is in the form and extent of those that are made here; else None."""
        said = self.serialisation
        ignored = {str(path) for path in said.get("ignore_paths", ())}
        if said.get("method") != "files" or ignored - IGNORED - {signature} or self.speaks_of_git:
            return None
        if any(algorithm != "sha256" for _, algorithm, _ in self.resources):
            return None
        return Manifest(self.root_sha256, {name: digest for name, _, digest in self.resources}, _plain(said))


def make_manifest(model: Path, ignored: Iterable[str], links: bool) -> Manifest:
    """The manifest of a folder or lone file: SHA-256 of each file, git's own and the ``ignored`` left out.

    Args:
        model: folder or file.
        ignored: names in the folder.
        links: whether files may be links; where they lead is for the caller to look at first.

    Raises:
        MissingExtraError: the library is not installed.
        ModelError: it cannot read the folder.
    """
    hashing = _library("hashing")
    config = hashing.Config().set_ignored_paths(paths=list(ignored)).set_allow_symlinks(links)
    try:
        made = config.hash(model)
    except (OSError, ValueError) as error:
        raise ModelError(f"{model}: has no manifest: {_said(error)}") from None
    found = [(one.identifier, one.digest) for one in made.resource_descriptors()]
    root = hashlib.sha256(b"".join(digest.digest_value for _, digest in found))
    digests = {name: digest.digest_hex for name, digest in found}
    return Manifest(root.hexdigest(), digests, _plain(made.serialization_type))


def read_statement(content: bytes) -> Statement:
    """What a signature file says; nothing of it is checked.

    Raises:
        ValueError: it is no signature in this form.
    """
    try:
        payload = json.loads(base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"]))
        predicate, subject = payload["predicate"], payload["subject"]
        if "resources" not in predicate:  # the form before version 1.0: every file a subject
            files = tuple((str(one["name"]), "sha256", str(one["digest"]["sha256"])) for one in subject)
            return Statement("", {"method": "files", "hash_type": "sha256"}, files)
        resources = tuple((str(r["name"]), str(r["algorithm"]), str(r["digest"])) for r in predicate["resources"])
        return Statement(str(subject[0]["digest"]["sha256"]), dict(predicate["serialization"]), resources)
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError("no signature in the OpenSSF model-signing form") from None


def check(model: Path, signature: Path, section: SignerSection, ignored: Iterable[str], links: bool) -> None:
    """Have the library check a signature and every file of the model against it.

    Args:
        model: folder or file.
        signature: the signature file, which nobody else can change meanwhile.
        section: who must have signed.
        ignored: names in the folder that the signature need not speak of: its own.
        links: as in `make_manifest`.

    Raises:
        MissingExtraError: the library is not installed.
        ModelError: a key or certificate is unusable, sigstore's trust cannot be fetched.
        ValueError: the signature does not hold, or the model is not what was signed; the message says what.
    """
    config = _verifier(section)
    statement = read_statement(signature.read_bytes())
    form = _hashing_as_signed(statement.serialisation)
    form.set_ignored_paths(paths=list(ignored), ignore_git_paths=not statement.speaks_of_git).set_allow_symlinks(links)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints advice for signers
            config.set_hashing_config(form).verify(model, signature)
    except Exception as error:  # every library underneath has kinds of its own, and each means the same
        raise ValueError(_said(error)) from None


def signer_of(content: bytes, section: SignerSection) -> str:
    """What a checked signature proves of who signed, in one line."""
    if section.method == "sigstore":
        return printable(f"{section.identity} ({section.issuer})")
    material = json.loads(content)["verificationMaterial"]
    if section.method == "key":
        return f"key with SHA-256 {_key_sha256(Path(section.key or ''))}"
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import load_der_x509_certificate

    raw = base64.b64decode(material["x509CertificateChain"]["certificates"][0]["rawBytes"])
    found = load_der_x509_certificate(raw)
    subject, until = printable(found.subject.rfc4514_string()), f"{found.not_valid_after_utc:%Y-%m-%d}"
    return f"{subject}, certificate valid until {until}, SHA-256 {found.fingerprint(SHA256()).hex()}"


def _key_sha256(key: Path) -> str:
    """Of the key's PEM form, as it stands in signatures too."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    loaded = load_pem_public_key(key.read_bytes())
    return hashlib.sha256(loaded.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _library(module: str) -> Any:
    try:
        return import_module(f"model_signing.{module}")
    except ImportError as error:
        raise MissingExtraError("model-signing", EXTRA) from error


def _verifier(section: SignerSection) -> Any:
    config = _library("verifying").Config()
    try:
        if section.method == "key":
            return config.use_elliptic_key_verifier(public_key=section.key)
        if section.method == "certificate":
            return config.use_certificate_verifier(certificate_chain=section.certificates)
        trust = Path(section.trust) if section.trust else None
        return config.use_sigstore_verifier(identity=section.identity, oidc_issuer=section.issuer, trust_config=trust)
    except Exception as error:  # unreadable file, another kind of key, no network: whatever the libraries raise
        raise _unusable(section, error) from None


def _unusable(section: SignerSection, error: Exception) -> ModelError:
    if section.method == "sigstore" and not section.trust:
        return ModelError(
            f"sigstore's keys cannot be fetched to check the model's signature: {_said(error)}",
            "it needs the network; or give the client trust configuration as a file: signature: {trust: FILE}",
        )
    files = {"key": section.key, "certificate": ", ".join(section.certificates), "sigstore": section.trust}
    wanted = {"key": "an elliptic-curve public key (PEM)", "certificate": "certificates (PEM)"}
    what = wanted.get(section.method, "a client trust configuration of sigstore")
    return ModelError(f"{files[section.method]}: is not {what}: {_said(error)}", "check the path and the file")


def _hashing_as_signed(said: dict[str, Any]) -> Any:
    """How to read the files, as the signature says it was done; were that a lie, the digests would not fit."""
    config = _library("hashing").Config()
    try:
        if said.get("method") == "shards":
            size = int(said["shard_size"])  # which the statement's JSON holds as 64.0
            return config.use_shard_serialization(hashing_algorithm=said["hash_type"], shard_size=size)
        return config.use_file_serialization(hashing_algorithm=said["hash_type"])
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"made in a form that is not known here: {_said(error)}") from None


def _plain(serialisation: dict[str, Any]) -> dict[str, Any]:
    """The parameters in one order, whatever order the library keeps its sets in."""
    known = {name: value for name, value in serialisation.items() if isinstance(value, str | bool | int)}
    ignored = sorted(str(path) for path in serialisation.get("ignore_paths", ()))
    return {**known, "ignore_paths": ignored}


def _said(error: Exception) -> str:
    """What an error says, as one line without the digests that differ; names of files are somebody else's."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if type(error).__name__ == "InvalidSignature":
        return "it is not by that key"
    return printable("; ".join(_differences(str(error))) or type(error).__name__, 600)


def _differences(message: str) -> list[str]:
    """What the library found to differ, which it gives as a printed list."""
    if not message.startswith(MISMATCH):
        return [message] if message else []
    try:
        return [str(one).split(": Expected ")[0] for one in ast.literal_eval(message.removeprefix(MISMATCH))]
    except (ValueError, SyntaxError, TypeError):
        return [message]

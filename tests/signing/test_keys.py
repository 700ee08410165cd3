"""Keys: made once, loaded strictly, never shown."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from auditkit.errors import SigningError
from auditkit.signing.keygen import KeyFiles, generate
from auditkit.signing.keys import load_certificate, load_public_key, load_signing_keys, resolve

pytestmark = pytest.mark.filterwarnings("error")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secret_lines(files: KeyFiles) -> list[str]:
    return [line for line in files.private.read_text().splitlines() if line and not line.startswith("-----")]


def test_private_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    files = generate(tmp_path / "new" / "folder")
    assert mode(files.private) == 0o600
    assert mode(files.private.parent) == 0o700
    assert b"PRIVATE" not in files.public.read_bytes() + files.certificate.read_bytes()


@pytest.mark.parametrize("name", ["auditkit.key", "auditkit.pub", "certificate.pem"])
def test_nothing_is_overwritten_and_nothing_half_made_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(SigningError, match=name):
        generate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "auditkit.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SigningError):
        generate(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_certificate_is_for_signatures_of_the_labelled_subject(key_files: KeyFiles) -> None:
    certificate = x509.load_pem_x509_certificate(key_files.certificate.read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.content_commitment) == (True, True)
    assert not (usage.value.key_cert_sign or usage.value.crl_sign or usage.value.key_encipherment)
    assert certificate.subject.rfc4514_string() == "OU=DEMO,CN=auditkit DEMO"
    assert certificate.not_valid_before_utc <= datetime.now(UTC) < certificate.not_valid_after_utc


def test_openssl_reads_what_was_made(key_files: KeyFiles) -> None:
    for command in (
        ["openssl", "x509", "-in", str(key_files.certificate), "-noout", "-subject"],
        ["openssl", "pkey", "-pubin", "-in", str(key_files.public), "-noout"],
        ["openssl", "pkey", "-in", str(key_files.private), "-noout"],
    ):
        subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("days", [0, -1, 10**9])
def test_days_have_bounds(tmp_path: Path, days: int) -> None:
    with pytest.raises(SigningError, match="days"):
        generate(tmp_path, days=days)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("subject", ["", "  ", "a\nb", "x" * 65])
def test_unusable_subjects_are_refused(tmp_path: Path, subject: str) -> None:
    with pytest.raises(SigningError):
        generate(tmp_path, subject=subject)


def test_keys_load_from_a_path_and_from_text(key_files: KeyFiles) -> None:
    by_path = load_signing_keys(str(key_files.private), key_files.certificate)
    by_text = load_signing_keys(key_files.private.read_text(), key_files.certificate)
    one_line = load_signing_keys(key_files.private.read_text().replace("\n", "\\n"), key_files.certificate)
    assert by_path.key_id == by_text.key_id == one_line.key_id
    assert by_path.key_id == load_public_key(key_files.public).keyid
    assert by_path.label == "DEMO"
    assert not by_path.warnings


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    files = generate(tmp_path)
    files.private.chmod(0o640)
    (warning,) = load_signing_keys(str(files.private), files.certificate).warnings
    assert "chmod 600" in warning


def test_the_secret_is_in_no_repr(key_files: KeyFiles) -> None:
    keys = load_signing_keys(key_files.private.read_text(), key_files.certificate)
    assert not any(line in f"{keys!r} {keys} {vars(keys)}" for line in secret_lines(key_files))


def test_the_secret_is_in_no_error(key_files: KeyFiles, other_files: KeyFiles, tmp_path: Path) -> None:
    text = key_files.private.read_text()
    secret = secret_lines(key_files)[0]
    pasted_wrongly = [
        secret,
        text.replace("BEGIN", "BEGUN"),
        text[:90],
        text.replace("MIG", "AAA"),
        "\0",
    ]
    for material in pasted_wrongly:
        with pytest.raises(SigningError) as caught:
            load_signing_keys(material, key_files.certificate)
        assert secret[24:44] not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
        assert caught.value.__context__ is None or caught.value.__suppress_context__
    with pytest.raises(SigningError, match="does not belong"):
        load_signing_keys(text, other_files.certificate)


def test_an_expired_certificate_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = generate(tmp_path, days=1)

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2999, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("auditkit.signing.keys.datetime", Later)
    with pytest.raises(SigningError, match="expired"):
        load_signing_keys(str(files.private), files.certificate)


def test_an_encrypted_key_is_named_as_such(key_files: KeyFiles) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    with pytest.raises(SigningError, match="encrypted"):
        load_signing_keys(locked.decode(), key_files.certificate)


def test_both_kinds_of_key_are_needed(key_files: KeyFiles) -> None:
    first = key_files.private.read_text().split("-----END PRIVATE KEY-----")[0] + "-----END PRIVATE KEY-----\n"
    with pytest.raises(SigningError, match="one Ed25519 and one ECDSA"):
        load_signing_keys(first, key_files.certificate)


def test_resolve_names_the_missing_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(SigningError, match="MY_KEY") as caught:
        resolve("env:MY_KEY")
    assert caught.value.exit_code == 2
    monkeypatch.setenv("MY_KEY", " ")
    with pytest.raises(SigningError, match="MY_KEY"):
        resolve("env:MY_KEY")
    monkeypatch.setenv("MY_KEY", "/path/auditkit.key\n")
    assert resolve("env:MY_KEY") == "/path/auditkit.key"


def test_only_an_ed25519_public_key_verifies(key_files: KeyFiles, tmp_path: Path) -> None:
    other = rsa.generate_private_key(65537, 2048).public_key()
    pem = other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(SigningError, match="Ed25519"):
        load_public_key(pem.decode())
    with pytest.raises(SigningError, match="private key"):
        load_public_key(key_files.private)
    with pytest.raises(SigningError, match="PEM"):
        load_public_key(key_files.certificate)
    with pytest.raises(SigningError, match="cannot read"):
        load_public_key(tmp_path / "none")


def test_what_is_no_certificate_is_refused(key_files: KeyFiles, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pem"
    damaged.write_text(key_files.certificate.read_text().replace("MII", "AAA", 1))
    for path in (key_files.public, damaged, tmp_path / "none"):
        with pytest.raises(SigningError):
            load_certificate(path)

"""The PDF signature: accepted by pdfsig, broken by any change."""

from __future__ import annotations

import asyncio
import stat
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from auditkit.errors import MissingExtraError, SigningError
from auditkit.signing.keys import SigningKeys, fingerprint
from auditkit.signing.pdf_signature import check_pdf, sign_pdf


@pytest.fixture
def signed(tmp_path: Path, pdf: bytes, keys: SigningKeys) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf)
    path.chmod(0o600)
    sign_pdf(path, keys, "Audit of support-bot")
    return path


def pdfsig(path: Path) -> str:
    """What Debian's pdfsig says; a machine without it fails the test."""
    return subprocess.run(["pdfsig", str(path)], check=False, capture_output=True, text=True).stdout


def test_pdfsig_accepts_it(signed: Path) -> None:
    said = pdfsig(signed)
    assert "Signature is Valid." in said
    assert "Total document signed" in said
    assert "SHA-256" in said
    assert "ETSI.CAdES.detached" in said
    assert "auditkit DEMO" in said


def test_pdfsig_and_we_refuse_a_changed_page(signed: Path, keys: SigningKeys) -> None:
    content = bytearray(signed.read_bytes())
    content[content.index(b"endstream") - 20] ^= 1
    signed.write_bytes(content)
    assert "Signature is Valid." not in pdfsig(signed)
    assert check_pdf(signed, fingerprint(keys.certificate))


def test_it_is_ours(signed: Path, keys: SigningKeys, other_keys: SigningKeys) -> None:
    assert check_pdf(signed, fingerprint(keys.certificate)) == []
    assert check_pdf(signed, None) == []
    (problem,) = check_pdf(signed, fingerprint(other_keys.certificate))
    assert "another certificate" in problem


def test_permissions_stay_and_nothing_is_left_behind(signed: Path) -> None:
    assert stat.S_IMODE(signed.stat().st_mode) == 0o600
    assert [path.name for path in signed.parent.iterdir()] == ["report.pdf"]


def test_a_later_revision_is_found(signed: Path) -> None:
    from pyhanko.pdf_utils.generic import pdf_name
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    writer: Any = IncrementalPdfFileWriter(BytesIO(signed.read_bytes()))
    writer.root["/PageMode"] = pdf_name("/FullScreen")
    writer.update_root()
    changed = BytesIO()
    writer.write(changed)
    signed.write_bytes(changed.getvalue())
    assert any("whole file" in problem for problem in check_pdf(signed, None))


@pytest.mark.parametrize("tail", [b"\n", b"%%EOF\n", b"\0" * 10])
def test_bytes_after_the_end_are_found(signed: Path, tail: bytes) -> None:
    signed.write_bytes(signed.read_bytes() + tail)
    assert check_pdf(signed, None)


def test_every_covered_byte_counts(signed: Path) -> None:
    content = signed.read_bytes()
    gap = range(content.index(b"/Contents <") + 10, content.index(b">", content.index(b"/Contents <")) + 1)
    places = [place for place in range(0, len(content), 97) if place not in gap]
    assert len(places) > 40
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1
        signed.write_bytes(changed)
        assert check_pdf(signed, None), f"byte {place}"


def test_an_unsigned_pdf_is_found(tmp_path: Path, pdf: bytes) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf)
    assert check_pdf(path, None) == ["it carries no signature"]


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\n%%EOF", b"x" * 1000])
def test_what_is_no_pdf_is_neither_signed_nor_accepted(tmp_path: Path, keys: SigningKeys, content: bytes) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(content)
    assert check_pdf(path, None)
    with pytest.raises(SigningError, match=r"report\.pdf cannot be signed"):
        sign_pdf(path, keys, "")
    assert path.read_bytes() == content


def test_a_second_signature_is_refused(signed: Path, keys: SigningKeys) -> None:
    before = signed.read_bytes()
    with pytest.raises(SigningError, match="signed already"):
        sign_pdf(signed, keys, "again")
    assert signed.read_bytes() == before


def test_it_works_inside_a_running_event_loop(tmp_path: Path, pdf: bytes, keys: SigningKeys) -> None:
    """As in a notebook."""
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf)

    async def notebook() -> list[str]:
        sign_pdf(path, keys, "from a notebook")
        return check_pdf(path, fingerprint(keys.certificate))

    assert asyncio.run(notebook()) == []


def test_a_missing_extra_is_named(signed: Path, keys: SigningKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditkit.signing.pdf_signature.find_spec", lambda _: None)
    for use in (lambda: check_pdf(signed, None), lambda: sign_pdf(signed, keys, "")):
        with pytest.raises(MissingExtraError) as caught:
            use()
        assert caught.value.hint == "pip install 'auditkit[pdf]'"

"""The time stamp in a PDF's signature: by an authority that speaks the real protocol, read by pdfsig and by us."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from asn1crypto import tsp

from auditkit.errors import SigningError
from auditkit.signing.keys import SigningKeys, fingerprint, load_certificate
from auditkit.signing.pdf_signature import check_pdf, examine_pdf, sign_pdf
from auditkit.signing.verify import verify
from tests.signing.sample_run import write_run
from tests.signing.tsa import Authority, served


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def address(authority: Authority) -> Iterator[str]:
    with served(authority) as url:
        yield url


@pytest.fixture(scope="module")
def stamped(
    tmp_path_factory: pytest.TempPathFactory, pdf: bytes, keys: SigningKeys, address: str, authority: Authority
) -> Path:
    path = tmp_path_factory.mktemp("stamped") / "report.pdf"
    path.write_bytes(pdf)
    authority.requests.clear()
    sign_pdf(path, keys, "Audit of support-bot", timestamp=address)
    return path


def test_the_stamp_is_read_with_its_time_and_authority(stamped: Path, keys: SigningKeys) -> None:
    stamp, problems = examine_pdf(stamped, fingerprint(keys.certificate))
    assert problems == [] and stamp is not None and not stamp.trusted
    assert abs((datetime.now(UTC) - stamp.time).total_seconds()) < 3600
    assert "auditkit test TSA" in stamp.sentence and "--tsa-cert" in stamp.sentence


def test_with_the_authoritys_certificate_it_is_trusted(stamped: Path, authority: Authority) -> None:
    stamp, problems = examine_pdf(stamped, None, load_certificate(authority.pem))
    assert problems == [] and stamp is not None and stamp.trusted
    assert stamp.sentence.endswith("by auditkit test TSA")


def test_another_authority_of_the_same_name_is_told(stamped: Path) -> None:
    assert check_pdf(stamped, None, load_certificate(Authority().pem)) == [
        "its time stamp is not by the authority whose certificate was given"
    ]


def test_where_a_stamp_was_expected_its_absence_is_told(tmp_path: Path, pdf: bytes, keys: SigningKeys) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf)
    sign_pdf(path, keys, "Audit")
    assert examine_pdf(path, None) == (None, [])
    assert check_pdf(path, None, load_certificate(Authority().pem)) == ["it carries no time stamp"]


def test_pdfsig_and_pyhanko_read_it(stamped: Path) -> None:
    said = subprocess.run(["pdfsig", str(stamped)], check=False, capture_output=True, text=True).stdout
    assert "Signature is Valid." in said and "ETSI.CAdES.detached" in said
    from pyhanko.pdf_utils.reader import PdfFileReader

    signature = PdfFileReader(BytesIO(stamped.read_bytes())).embedded_signatures[0]
    kinds = [attribute["type"].native for attribute in signature.signer_info["unsigned_attrs"]]
    assert kinds == ["signature_time_stamp_token"]


def test_nothing_but_digests_is_sent(stamped: Path, authority: Authority) -> None:
    """The first request sizes the signature with a digest of nothing; the second is of the signature itself."""
    from pyhanko.pdf_utils.reader import PdfFileReader

    signature = PdfFileReader(BytesIO(stamped.read_bytes())).embedded_signatures[0].signer_info["signature"].native
    asked = [tsp.TimeStampReq.load(request) for request in authority.requests]
    imprints = [request["message_imprint"]["hashed_message"].native for request in asked]
    assert set(imprints) == {hashlib.sha256(b"").digest(), hashlib.sha256(signature).digest()}
    assert all(len(request) < 100 for request in authority.requests)


def test_a_stamp_of_something_else_is_found(tmp_path: Path, pdf: bytes, keys: SigningKeys) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf)
    with served(Authority(behave="another digest")) as url:
        sign_pdf(path, keys, "Audit", timestamp=url)
    assert "its time stamp does not fit its signature, or is damaged" in check_pdf(path, None)


def test_a_stamp_from_before_the_certificate_is_found(tmp_path: Path, pdf: bytes, keys: SigningKeys) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf)
    with served(Authority(time=datetime(2019, 1, 1, tzinfo=UTC))) as url:
        sign_pdf(path, keys, "Audit", timestamp=url)
    assert "it was time-stamped outside the validity of its certificate" in check_pdf(path, None)


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        ("busy", "Service Unavailable"),
        ("elsewhere", "Found"),
        ("a web page", "its answer is no time stamp"),
        ("nonsense", "its answer is no time stamp"),
        ("endless", "its answer is no time stamp"),
        ("refuses", r"no more today\x1b[31m"),
    ],
)
def test_a_bad_authority_is_an_error_and_the_file_stays(
    tmp_path: Path, pdf: bytes, keys: SigningKeys, behave: str, said: str
) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf)
    with served(Authority(behave=behave)) as url, pytest.raises(SigningError) as caught:
        sign_pdf(path, keys, "Audit", timestamp=url)
    assert "the time stamp authority at 127.0.0.1 gave no time stamp" in caught.value.message
    assert said in caught.value.message
    assert path.read_bytes() == pdf


def test_an_authority_that_is_not_there_is_an_error(tmp_path: Path, pdf: bytes, keys: SigningKeys) -> None:
    with served(Authority()) as url:
        pass
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf)
    with pytest.raises(SigningError, match="refused") as caught:
        sign_pdf(path, keys, "Audit", timestamp=url)
    assert "done and kept" in caught.value.hint


def test_verify_tells_the_stamp_and_holds_it_to_the_certificate_given(
    tmp_path: Path, pdf: bytes, keys: SigningKeys, authority: Authority, address: str
) -> None:
    run = write_run(tmp_path / "run", pdf, keys, timestamp=address)
    plain = verify(run)
    assert plain.ok and any(note.startswith("report.pdf was time-stamped at ") for note in plain.notes)
    assert "not checked" in " ".join(plain.notes)
    assert verify(run, tsa_certificate=authority.pem).ok
    assert "not by the authority" in " ".join(verify(run, tsa_certificate=Authority().pem).problems)

"""The envelope: signed by one library, read by others, accepted in one spelling."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope

from auditkit import strict_json
from auditkit.signing import dsse
from auditkit.signing.keygen import KeyFiles
from auditkit.signing.keys import SigningKeys, load_public_key


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding, written down from the specification."""
    kind = payload_type.encode()
    return b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])


def test_signature_holds_by_plain_cryptography(keys: SigningKeys, key_files: KeyFiles) -> None:
    envelope = json.loads(dsse.seal(b'{"a":1}', keys.dsse_signer))
    payload = base64.b64decode(envelope["payload"])
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    key = load_pem_public_key(key_files.public.read_bytes())
    assert isinstance(key, Ed25519PublicKey)
    key.verify(signature, pae("application/vnd.in-toto+json", payload))
    with pytest.raises(InvalidSignature):
        key.verify(signature, pae("application/vnd.in-toto+json", payload + b" "))


def test_securesystemslib_reads_and_verifies_it(keys: SigningKeys, key_files: KeyFiles) -> None:
    envelope = Envelope.from_dict(json.loads(dsse.seal(b"{}", keys.dsse_signer)))
    key = load_public_key(key_files.public)
    assert envelope.verify([key], 1) == {key.keyid: key}


@given(payload=st.binary(max_size=200))
def test_what_is_sealed_reads_back(keys: SigningKeys, payload: bytes) -> None:
    envelope = dsse.read(dsse.seal(payload, keys.dsse_signer))
    assert envelope.payload == payload
    assert dsse.is_signed_by(envelope, keys.public_key)


def test_another_key_did_not_sign_it(keys: SigningKeys, other_keys: SigningKeys) -> None:
    envelope = dsse.read(dsse.seal(b"{}", keys.dsse_signer))
    assert not dsse.is_signed_by(envelope, other_keys.public_key)


def test_an_envelope_without_a_signature_is_by_nobody(keys: SigningKeys) -> None:
    envelope = dsse.read(dsse.seal(b"{}", None))
    assert envelope.signatures == {}
    assert not dsse.is_signed_by(envelope, keys.public_key)


def variants(content: bytes) -> list[bytes]:
    """The same envelope in other spellings, and what is no envelope."""
    value = json.loads(content)
    signature = value["signatures"][0]
    changed: list[object] = [
        {**value, "signatures": [signature, signature]},
        {**value, "signatures": signature},
        {**value, "payloadType": "text/plain"},
        {**value, "extra": 1},
        {**value, "payload": value["payload"].rstrip("=")},
        {**value, "payload": value["payload"] + "\n"},
        {**value, "payload": 5},
        {**value, "signatures": [{**signature, "keyid": "../../etc"}]},
        {"payload": value["payload"]},
        [],
        None,
    ]
    return [
        json.dumps(value).encode(),
        content + b"\n",
        b"\xef\xbb\xbf" + content,
        content[:-1],
        content.replace(b'{"payload"', b'{"payload":"","payload"', 1),
        b"[" * 100_000,
        b"",
        *map(strict_json.canonical, changed),
    ]


def test_no_other_spelling_is_accepted(keys: SigningKeys) -> None:
    for variant in variants(dsse.seal(b"{}", keys.dsse_signer)):
        with pytest.raises(ValueError):
            dsse.read(variant)


def test_base64_with_idle_bits_is_not_accepted() -> None:
    """The last character of a group carries bits that no byte uses: "e30=" and "e31=" are the same two bytes."""
    content = dsse.seal(b"{}", None)
    assert base64.b64decode("e31=") == base64.b64decode("e30=") == b"{}"
    with pytest.raises(ValueError, match="canonical"):
        dsse.read(content.replace(b"e30=", b"e31="))


def test_a_refusal_tells_nothing_of_the_content(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a DSSE envelope") as caught:
        dsse.read(strict_json.canonical({"payload": "SECRET", "payloadType": "x", "signatures": []}))
    assert "SECRET" not in str(caught.value)


def test_an_envelope_of_one_type_is_none_of_another(keys: SigningKeys) -> None:
    """The type is signed: what was signed as waivers is never read as a statement, nor the other way round."""
    kind = "application/vnd.auditkit.waivers+json"
    content = dsse.seal(b"{}", keys.dsse_signer, kind)
    assert dsse.is_signed_by(dsse.read(content, kind), keys.public_key)
    with pytest.raises(ValueError, match=r"not a DSSE envelope of application/vnd\.in-toto"):
        dsse.read(content)
    renamed = strict_json.canonical({**json.loads(content), "payloadType": "application/vnd.in-toto+json"})
    assert not dsse.is_signed_by(dsse.read(renamed), keys.public_key)

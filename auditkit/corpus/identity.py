"""What a record is called: its content digest inside the evidence, a keyed id everywhere else."""

from __future__ import annotations

import hashlib
import hmac
import json
import re

_KIND = re.compile(r"[a-z][a-z0-9]{0,15}")
_JSON = json.JSONEncoder(ensure_ascii=False)
_KEYED_ID_DIGITS = 20  # 80 bits: no collision to be expected below a billion ids


def content_bytes(prompt: str, response: str = "", rejected: str = "") -> bytes:
    """The one canonical encoding of a record's content: RFC 8785 JSON, so that any language can make it again.

    Raises:
        UnicodeEncodeError: a text holds a lone surrogate.
    """
    quoted = _JSON.encode
    return f'{{"prompt":{quoted(prompt)},"rejected":{quoted(rejected)},"response":{quoted(response)}}}'.encode()


def content_digest(prompt: str, response: str = "", rejected: str = "") -> bytes:
    """SHA-256 of the canonical encoding: equal for exact duplicates, and for them alone."""
    return hashlib.sha256(content_bytes(prompt, response, rejected)).digest()


def numbered_id(digest: bytes, ordinal: int) -> str:
    """A record's internal id from its content digest, and which of its exact duplicates it is, from 0."""
    return f"{digest.hex()}-{ordinal}"


def record_id(prompt: str, response: str, rejected: str, ordinal: int) -> str:
    """A record's internal id: the content digest in hex, and which of its exact duplicates it is, from 0.

    A digest of a guessable text is an oracle: this id never leaves the evidence folder.
    """
    return numbered_id(content_digest(prompt, response, rejected), ordinal)


def keyed_id(secret: bytes, kind: str, internal_id: str) -> str:
    """The id that may leave the evidence folder, e.g. ``rec-`` or ``gen-`` and 20 hex digits.

    The same under the same secret, in every run; nothing to whoever lacks the secret.

    Raises:
        ValueError: no secret, or a kind that is no short lower-case word.
    """
    if not _KIND.fullmatch(kind):
        raise ValueError("the kind of an id is a short lower-case word")
    digest = _keyed(secret, b"id", kind.encode(), internal_id.encode())
    return f"{kind}-{digest.hex()[:_KEYED_ID_DIGITS]}"


def keyed_digest(secret: bytes, kind: str, digest: str) -> str:
    """A digest (hex) as it may leave the evidence folder: the same under the same secret.

    Raises:
        ValueError: no secret.
    """
    return f"hmac-sha256:{_keyed(secret, b'digest', kind.encode(), digest.encode()).hex()}"


def nonce(secret: bytes, index: int, corpus: str = "") -> bytes:
    """32 bytes that blind the Merkle leaf at ``index``.

    ``corpus`` names the tree. A proof shows the nonce of the leaf that it opens, so two trees under one secret
    must not share theirs: the nonce of one would lay open the leaf at the same place in the other.

    Raises:
        ValueError: no secret.
    """
    return _keyed(secret, b"nonce", corpus.encode(), index.to_bytes(8, "big"))


def _keyed(secret: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA256 of the parts, each with its length before it, so that no two lists of parts look alike."""
    if not secret:
        raise ValueError("an empty secret keeps nothing secret")
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(secret, message, "sha256")

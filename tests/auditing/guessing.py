"""A dictionary tried against bytes: every spelling of a word, and every digest of what a word could stand in."""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import hmac
import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np

from auditkit.corpus.identity import content_bytes
from auditkit.corpus.merkle import leaf_hash
from tests.report.poppler import inflated, told

SHORTEST = 12  # hex digits of a digest that would confirm a guess
ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b", "blake2s")
KEYS = (b"", b"\0", b"auditkit", b"secret", b"key", b"check", b"salt", b"id", b"nonce", b"words", b"scripted", b"rec")
_HEX = re.compile(rb"[0-9a-fA-F]{12,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")


class Haystack:
    """Bytes that somebody was given, with what lies in them: decoded, inflated, unescaped."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self.parts = list(parts)

    @cached_property
    def layers(self) -> bytes:
        """Everything one below the other: as given, unescaped, and decoded from base64 (twice)."""
        plain = b"\n".join(self.parts)
        decoded = b"\n".join(_from_base64(plain))
        twice = b"\n".join(_from_base64(decoded))
        text = (plain + b"\n" + decoded + b"\n" + twice).decode("utf-8", "replace")
        unescaped = html.unescape(urllib.parse.unquote(_unicode_escapes(text)))
        return b"\n".join((plain, decoded, twice, unescaped.encode("utf-8", "replace")))

    @cached_property
    def lowered(self) -> bytes:
        """The same, case away; UTF-16 keeps its zero bytes."""
        return self.layers.lower()

    @cached_property
    def folded(self) -> str:
        """The same as text, case away in every script."""
        return self.layers.decode("utf-8", "replace").casefold()

    @cached_property
    def hexes(self) -> set[bytes]:
        """Every stretch of SHORTEST hex digits."""
        found: set[bytes] = set()
        for run in set(_HEX.findall(self.layers)):
            low = run.lower()
            found |= {low[at : at + SHORTEST] for at in range(len(low) - SHORTEST + 1)}
        return found

    def holds(self, digests: list[bytes]) -> list[bool]:
        """Which of the digests stand in it as bytes (their first eight)."""
        wanted = np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)
        shifted = (self.layers[at : at + (len(self.layers) - at) // 8 * 8] for at in range(8))
        found = [wanted[np.isin(wanted, np.frombuffer(part, "<u8"))] for part in shifted]
        present = set(np.concatenate(found).tolist())
        return [int(one) in present for one in wanted]


def of_folder(folder: Path, left_out: Iterable[str], more: Iterable[str] = ()) -> Haystack:
    """All files below a folder but those left out (a name, or a folder's name with "/"), their names, and more."""
    outside = tuple(left_out)
    names = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [path for path in names if not path.relative_to(folder).as_posix().startswith(outside)]
    parts = [path.relative_to(folder).as_posix().encode() for path in kept]
    for path in kept:
        parts.append(path.read_bytes())
        if path.suffix == ".pdf":
            parts += [inflated(path), *(told(*words, path, *to).encode() for words, to in _PDF_TOOLS)]
    return Haystack([*parts, *(text.encode() for text in more)])


_PDF_TOOLS = ((("pdftotext", "-raw"), ("-",)), (("pdftotext", "-layout"), ("-",)), (("pdfinfo",), ()))


def confirmed(words: Sequence[str], haystack: Haystack) -> dict[str, list[str]]:
    """The words that something in the haystack confirms, each with how."""
    found: dict[str, list[str]] = {}
    for word in words:
        for way in _spelt(word, haystack):
            found.setdefault(word, []).append(way)
    digests = [(word, what, digest) for word in words for what, digest in _digests(word)]
    as_bytes = haystack.holds([digest for _, _, digest in digests])
    for (word, what, digest), raw in zip(digests, as_bytes, strict=True):
        if raw or digest[: SHORTEST // 2].hex().encode() in haystack.hexes:
            found.setdefault(word, []).append(what)
    return found


def _spelt(word: str, haystack: Haystack) -> Iterator[str]:
    if word.casefold() in haystack.folded:
        yield "in some case"
    for way, spelling in _spellings(word):
        where = haystack.layers if way == "base64" else haystack.lowered
        if (spelling if way == "base64" else spelling.lower()) in where:
            yield f"{way}: {spelling!r}"


def _spellings(word: str) -> Iterator[tuple[str, bytes]]:
    raw = word.encode()
    for text, how in ((word, "as it is"), (word[::-1], "reversed"), (codecs.encode(word, "rot13"), "rot13")):
        yield how, text.encode()
        yield f"utf-16-le, {how}", text.encode("utf-16-le")
        yield f"utf-16-be, {how}", text.encode("utf-16-be")
        yield f"spaced, {how}", " ".join(text).encode()
    yield "hex", raw.hex().encode()
    yield "percent", "".join(f"%{byte:02x}" for byte in raw).encode()
    yield "json", json.dumps("".join(f"\\u{ord(letter):04x}" for letter in word)).encode()
    for before in range(3):  # a word within other text, at each of the three places that base64 knows
        inner = base64.b64encode(b"\0" * before + raw)[4 if before else 0 :].rstrip(b"=")
        yield "base64", inner[: len(inner) - 2]


def _digests(word: str) -> Iterator[tuple[str, bytes]]:
    for text in _texts(word):
        for algorithm in ALGORITHMS:
            yield f"{algorithm} of {text!r}", hashlib.new(algorithm, text).digest()
        for key in KEYS:
            yield f"HMAC-SHA-256 of {text!r} under {key!r}", hmac.digest(key, text, "sha256")
            yield f"SHA-256 of {text!r} after {key!r}", hashlib.sha256(key + text).digest()
            yield f"RFC 6962 leaf of {text!r} with the nonce {key!r}", leaf_hash(key, text)
        digest = hashlib.sha256(text).hexdigest()
        yield f"SHA-256 of the SHA-256 of {text!r}", hashlib.sha256(digest.encode()).digest()
        yield f"SHA-256 of the internal id of {text!r}", hashlib.sha256(f"{digest}-0".encode()).digest()
        yield f"SHA-256 of the named internal id of {text!r}", hashlib.sha256(f"words/{digest}-0".encode()).digest()


def _texts(word: str) -> Iterator[bytes]:
    """What a word could stand in: alone, as a record, as a line, as a file of one record."""
    for text in (word, word.lower(), word.upper(), word.capitalize()):
        yield text.encode()
        yield f"{text}\n".encode()
    yield word.encode("utf-16-le")
    yield content_bytes(word)
    yield content_bytes("", word)
    for row in ({"q": word}, {"q": word, "a": word}, {"q": word, "t": word}):
        for line in (json.dumps(row), json.dumps(row, separators=(",", ":"))):
            yield line.encode()
            yield f"{line}\n".encode()


def _from_base64(content: bytes) -> Iterator[bytes]:
    for run in set(_BASE64.findall(content)):
        padded = run.rstrip(b"=") + b"=" * (-len(run.rstrip(b"=")) % 4)
        with suppress(binascii.Error, ValueError):
            yield base64.b64decode(padded, altchars=b"-_" if re.search(rb"[-_]", run) else None, validate=True)


def _unicode_escapes(text: str) -> str:
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)

"""JSON with one reading only: what is signed must not mean two things to two parsers."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def canonical(value: Any) -> bytes:
    """The value as canonical JSON (RFC 8785).

    Raises:
        ValueError: not representable: a lone surrogate, NaN, an integer beyond 2**53.
    """
    import rfc8785

    return rfc8785.dumps(value)  # its CanonicalizationError is a ValueError


def parse(content: bytes) -> Any:
    """The value of strict JSON: UTF-8, no key twice, no NaN, infinity or number beyond doubles, bounded nesting.

    Raises:
        ValueError: it is not that.
    """
    try:
        text = content.decode("utf-8")
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_canonical(content: bytes) -> Any:
    """The value of canonical JSON.

    Raises:
        ValueError: not strict JSON, or not in its canonical form.
    """
    value = parse(content)
    if canonical(value) != content:
        raise ValueError("not in canonical form")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in an object")
    return found


def _finite(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        raise ValueError(f"{digits[:20]} is beyond every number that JSON readers agree on")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")

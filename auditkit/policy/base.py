"""Which policy it is: the digest of everything that a policy file is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from auditkit.errors import PolicyError


def policy_sha256(path: Path) -> str:
    """SHA-256 (hex) of a policy: of its file, or of the digests of its file and of all that it extends, in order.

    A preset that changed is another policy, though the file that extends it stayed the same. What is no policy at all
    has the digest of its bytes.

    Raises:
        OSError: the file cannot be read.
    """
    digests = [hashlib.sha256(path.read_bytes()).hexdigest()]
    digests += [hashlib.sha256(file.read_bytes()).hexdigest() for file in _extended(path)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _extended(path: Path) -> Iterator[Path]:
    from auditkit.policy.presets import extended_files

    try:
        yield from extended_files(path)
    except PolicyError:
        return

"""Report files: whole under their final name or not there at all, and readable by their owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from auditkit.errors import RunError


def write_file(path: Path, content: bytes) -> Path:
    """Write ``content`` to ``path`` with mode 0600, through a temporary file beside it that replaces it at the end.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        _write_new(draft, content)
        draft.replace(path)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}", "free space or choose another --out"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return path


def _write_new(path: Path, content: bytes) -> None:
    """Create, write and flush to disk; the mode is set before the first byte is there to be read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

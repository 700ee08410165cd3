"""The project's secret: it keys every id that leaves the evidence folder (INTERFACE.md, Ids)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from auditkit.errors import AuditkitError
from auditkit.files import write_bytes
from auditkit.policy.schema import Policy

FILE_NAME = ".auditkit-secret"
MINIMUM_BYTES = 16


def project_secret(policy: Policy) -> bytes:
    """The secret from the environment, or from the file beside the policy, which is made once.

    Raises:
        AuditkitError: the variable is unset or its value too short to be a secret.
    """
    if policy.report.secret:
        name = policy.report.secret.removeprefix("env:")
        value = os.environ.get(name, "").encode()
        if len(value) < MINIMUM_BYTES:
            raise AuditkitError(
                f"the environment variable {name} holds no secret of at least {MINIMUM_BYTES} bytes",
                f"export {name}, for instance from: openssl rand -hex 32; or leave report.secret out of the policy",
            )
        return value
    return _beside(policy.source.file.parent)


def _beside(folder: Path) -> bytes:
    path = folder / FILE_NAME
    if not path.exists():
        _ignore_in_git(folder)
        write_bytes(path, secrets.token_hex(32).encode())
    return path.read_bytes().strip()


def _ignore_in_git(folder: Path) -> None:
    """A secret made for the user must not end in their repository by accident."""
    ignore = folder / ".gitignore"
    lines = ignore.read_text().splitlines() if ignore.exists() else []
    in_repository = any((parent / ".git").exists() for parent in (folder, *folder.parents))
    if in_repository and FILE_NAME not in lines and not _ignored_above(folder):
        with ignore.open("a") as stream:
            stream.write(f"{FILE_NAME}\n")


def _ignored_above(folder: Path) -> bool:
    ignores = (parent / ".gitignore" for parent in folder.parents)
    return any(FILE_NAME in path.read_text().splitlines() for path in ignores if path.is_file())

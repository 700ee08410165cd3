"""The project's secret: it keys every id that leaves the evidence folder (INTERFACE.md, Ids)."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from auditkit.errors import AuditkitError
from auditkit.files import read_plain, storage_errors
from auditkit.policy.schema import Policy

FILE_NAME = ".auditkit-secret"
MINIMUM_BYTES = 16
MAXIMUM_BYTES = 4096


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


def known_secret(policy: Policy) -> bytes:
    """The secret that an audit of this policy used; none is made.

    Raises:
        AuditkitError: there is none any more.
    """
    file = policy.source.file.parent / FILE_NAME
    if policy.report.secret is None and not file.is_file():
        raise AuditkitError(f"{file}, the project's secret, is not there", "put it back: without it nothing is proved")
    return project_secret(policy)


def secret_if_known(policy: Policy) -> bytes | None:
    """The secret where there is a usable one; none is made, nothing is complained of."""
    try:
        return known_secret(policy)
    except AuditkitError:
        return None


def _beside(folder: Path) -> bytes:
    path = folder / FILE_NAME
    if not os.path.lexists(path):
        _ignore_in_git(folder)
        _make_once(path)
    value = _read(path).strip()
    if len(value) < MINIMUM_BYTES:
        raise AuditkitError(f"{path} holds no secret of at least {MINIMUM_BYTES} bytes", "delete it: it is made anew")
    return value


def _read(path: Path) -> bytes:
    """Its bytes, where it is the plain file that an audit makes: nothing is followed, waited for, or read for ever."""
    try:
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link")
        content = read_plain(path, MAXIMUM_BYTES)
    except OSError as error:
        raise AuditkitError(
            f"cannot read {path}, the project's secret: {error.strerror or error}",
            "put the file itself there; ids change with the secret, so keep the one that earlier audits used",
        ) from None
    if len(content) > MAXIMUM_BYTES:
        raise AuditkitError(
            f"{path}, the project's secret, is over {MAXIMUM_BYTES:,} bytes",
            "put back the one that earlier audits used",
        )
    return content


def _make_once(path: Path) -> None:
    """Whole and under its name at once; of two runs that begin together, the second takes the first one's."""
    with storage_errors(path), tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.") as file:  # 0600
        file.write(secrets.token_hex(32).encode())
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, path)


def _ignore_in_git(folder: Path) -> None:
    """A secret made for the user must not end in their repository by accident."""
    ignore = folder / ".gitignore"
    content = ignore.read_bytes() if ignore.exists() else b""
    lines = content.splitlines()
    in_repository = any((parent / ".git").exists() for parent in (folder, *folder.parents))
    if in_repository and FILE_NAME.encode() not in lines and not _ignored_above(folder):
        with storage_errors(ignore), ignore.open("ab") as stream:
            stream.write(b"\n" * (content[-1:] not in (b"", b"\n")) + f"{FILE_NAME}\n".encode())


def _ignored_above(folder: Path) -> bool:
    ignores = (parent / ".gitignore" for parent in folder.parents)
    return any(FILE_NAME.encode() in path.read_bytes().splitlines() for path in ignores if path.is_file())

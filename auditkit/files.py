"""Writing so that nothing is lost and nothing half-written ever stands under a final name; reading what is bounded."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from auditkit.errors import RunError

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def make_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter, with its parents."""
    with storage_errors(path):
        made = [folder for folder in path.parents if not folder.exists()]
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        for folder in made:  # mkdir gives its mode to the last one alone
            folder.chmod(FOLDER_MODE)
        return path


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path to write to; it takes the final name, synced to disk, only when the block succeeds.

    ``durable`` False: not synced, for what is of no use after a power failure.

    Raises:
        RunError: the disk is full, the folder read-only, the file too large.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with storage_errors(path):
            # Its owner's alone before the first byte is there to be read.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE))
            yield temporary
            if durable:
                _sync(temporary)
            temporary.replace(path)
            if durable:
                _sync(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes its name when the block succeeds: owner-only and on disk, whatever filled it.

    Leftovers of processes that were killed go.

    Raises:
        RunError: as for ``replacing``, or the folder is there already.
    """
    for left in folder.parent.glob(f".{folder.name}.*.part"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = make_folder(folder.parent / f".{folder.name}.{os.getpid()}.part")
    try:
        yield temporary
        with storage_errors(folder):
            for path in [*temporary.rglob("*"), temporary]:
                path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
                _sync(path)
            temporary.rename(folder)
            _sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a whole file atomically, readable by its owner only; the path again.

    Raises:
        RunError: as for ``replacing``.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def read_plain(path: Path, most: int) -> bytes:
    """The bytes of an ordinary file; ``most`` and one more where it is longer. Nothing is waited for, nothing endless.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe or a device.
        ValueError: no file can have this name.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, not an ordinary file")
        return stream.read(most + 1)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {path}: {_reason(error)}", _remedy(error)) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EFBIG: "the file is larger than this process may write",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "permission denied",
    }.get(error.errno or 0, error.strerror or str(error))


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room, then go on with: auditkit run --resume RUN (what was finished is kept)"
    return "choose another folder with --out, or mend its permissions"

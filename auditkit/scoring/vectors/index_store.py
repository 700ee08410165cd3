"""Graphs on disk between audits: named by the digest of what they hold, and trusted only under the project's secret.

A graph is read by native code that believes what it reads. So every file stands beside a tag, an HMAC-SHA256 of its
bytes and name under the project's secret; what does not fit its tag is built anew. To clear the store, delete the
folder.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from auditkit.errors import RunError
from auditkit.files import make_folder, replacing, write_bytes
from auditkit.scoring.base import Index, IndexStore, Vectors
from auditkit.scoring.vectors.hnsw_graph import Graph, GraphShape
from auditkit.scoring.vectors.mapped import release
from auditkit.scoring.vectors.products import READ_AT_ONCE, blocks, rows_of

MOST_BYTES = 8 << 30  # of all graphs, or the last one alone; of more, those used longest ago go
ABANDONED_SECONDS = 86_400.0
SUFFIX, TAG_SUFFIX = ".hnsw", ".tag"


def opened_graph(vectors: Vectors, distinct: Index, shape: GraphShape, store: IndexStore | None) -> Graph:
    """The graph of these rows from the store, or built and put there."""
    if store is None:
        return Graph.built(vectors, distinct, shape)
    path = store.folder / f"{_digest(vectors, shape)}{SUFFIX}"
    if _is_ours(path, store.secret):
        with suppress(OSError):
            os.utime(path)  # used today
        try:
            return Graph.loaded(path, vectors.shape[1])
        except RuntimeError:  # hnswlib's: no graph, whoever wrote it
            _drop(path)
    graph = Graph.built(vectors, distinct, shape)
    with suppress(RunError):  # a full disk costs the next audit some time, not this one its result
        _save(graph, path, store.secret)
    return graph


def _digest(vectors: Vectors, shape: GraphShape) -> str:
    """SHA-256 of the vectors' bytes, their shape, and everything that the graph hangs on."""
    digest = hashlib.sha256(f"{vectors.shape} {shape} hnswlib {version('hnswlib')}\n".encode())
    for rows in blocks(len(vectors), READ_AT_ONCE):
        digest.update(rows_of(vectors, rows).astype("<f4", copy=False).data)
        release(vectors, rows.start, rows.stop)
    return digest.hexdigest()


def _save(graph: Graph, path: Path, secret: bytes) -> None:
    """The graph, then its tag: killed in between, it is a file without a fitting tag."""
    write_bytes(make_folder(path.parent) / ".gitignore", b"*\n")  # the vectors of the texts are as private as these
    with replacing(path) as temporary:
        graph.save(temporary)
        if temporary.stat().st_size != graph.file_size:  # hnswlib does not notice that the disk is full
            raise RunError(f"{path} could not be written whole", "make room on the disk")
    write_bytes(path.with_suffix(TAG_SUFFIX), _tag(path, secret))
    _clear(path.parent)


def _is_ours(path: Path, secret: bytes) -> bool:
    try:
        return hmac.compare_digest(path.with_suffix(TAG_SUFFIX).read_bytes(), _tag(path, secret))
    except OSError:
        return False


def _tag(path: Path, secret: bytes) -> bytes:
    key = hmac.digest(secret, b"auditkit index store 1", "sha256")  # the secret keys ids as well
    tag = hmac.new(key, path.name.encode() + b"\n", "sha256")
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            tag.update(block)
    return tag.digest()


def _clear(folder: Path) -> None:
    """Drop the graphs used longest ago that are beyond the room there is, and what killed processes left half written.

    As many as fit, so that a policy of several datasets, each of two views and two sides, finds all of its own again.
    """
    total = 0
    for place, path in enumerate(sorted(folder.glob(f"*{SUFFIX}"), key=_last_used, reverse=True)):
        total += _bytes(path)
        if place and total > MOST_BYTES:
            _drop(path)
    for path in folder.glob(".*.part"):
        if time.time() - _last_used(path) > ABANDONED_SECONDS:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _drop(path: Path) -> None:
    """A graph, its tag first."""
    for one in (path.with_suffix(TAG_SUFFIX), path):
        with suppress(OSError):
            one.unlink(missing_ok=True)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another audit was quicker to clear it
        return 0.0

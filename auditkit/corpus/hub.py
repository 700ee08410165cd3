"""Hugging Face datasets, pinned to a commit: ``hub://org/name@<40 hex digits>[/folder or file]``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from auditkit.corpus.shards import HUB, READABLE, Shard, folder_shards
from auditkit.errors import DataError, MissingExtraError, Problem

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"hub://(?P<repo>{_PART}/{_PART})@(?P<commit>[0-9a-f]{{40}})(?:/(?P<sub>[A-Za-z0-9._/-]+))?")


def hub_shards(address: str) -> list[Shard]:
    """The data files of a pinned dataset, downloaded into the Hugging Face cache unless they are there already.

    Only files in a readable format are fetched, and no code of the dataset runs.

    Raises:
        DataError: not pinned to a commit, not to be had, or without a readable file.
        MissingExtraError: huggingface_hub is not installed.
    """
    match = _ADDRESS.fullmatch(address)
    if not match or ".." in (match["sub"] or "").split("/"):
        _refuse(address, "is no pinned dataset", f"write {HUB}org/name@<commit, 40 hex digits>[/folder]")
    sub = (match["sub"] or "").strip("/")
    snapshot = _download(address, match["repo"], match["commit"], sub)
    place = snapshot / sub
    # The snapshot's files are links into the cache's own store.
    cache = snapshot.parents[2]
    if sub.endswith(READABLE) and place.is_file():
        return [Shard(place, place.name)]
    if not place.is_dir():
        _refuse(address, f"holds no file that ends in {', '.join(READABLE)}", "look at its file list on the hub")
    return folder_shards(place, cache, strict=False)


def _download(address: str, repo: str, commit: str, sub: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise MissingExtraError("huggingface_hub", "hub") from None
    # Its bases are the errors of the HTTP library underneath (requests, httpx or httpx2, by version) and OSError.
    failures: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError, ValueError)
    try:
        return Path(snapshot_download(repo, repo_type="dataset", revision=commit, allow_patterns=_patterns(sub)))
    except failures as error:
        _refuse(address, *_explained(error, repo, commit))


def _patterns(sub: str) -> list[str]:
    if sub.endswith(READABLE):
        return [sub]
    return [f"{sub}/*{ending}" if sub else f"*{ending}" for ending in READABLE]


def _explained(error: Exception, repo: str, commit: str) -> tuple[str, str]:
    by_hand = f"hf download {repo} --repo-type dataset --revision {commit}"
    match type(error).__name__:
        case "RepositoryNotFoundError" | "RevisionNotFoundError":
            return "is not on the hub under this name and commit", "check both; if it is private, set HF_TOKEN"
        case "GatedRepoError":
            return "is gated", "accept its terms on the hub, then set HF_TOKEN"
        case "LocalEntryNotFoundError" | "IncompleteSnapshotError":
            fetch = (
                f"unset HF_HUB_OFFLINE, or run `{by_hand}` where there is a network and copy that Hugging Face cache"
            )
            return "is not complete in the local cache, and the hub cannot be reached", fetch
        case name:
            return f"cannot be downloaded ({name})", f"try again, or run `{by_hand}` to see why"


def _refuse(address: str, message: str, hint: str) -> NoReturn:
    raise DataError([Problem(Path(address.removeprefix(HUB)), None, f"the hub dataset {message}", hint)])

"""Where files lie as somebody sees them who has the repository, not this machine: no report needs its paths."""

from __future__ import annotations

import os
from pathlib import Path

from auditkit.corpus.shards import HUB
from auditkit.policy.schema import DatasetSection, Policy
from auditkit.report.base import DatasetInfo


def repository_root(policy: Policy) -> Path:
    """The root of the git checkout that holds the policy; the policy's own folder where there is none."""
    folder = policy.source.file.parent
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


def seen_from(root: Path, path: Path) -> str | None:
    """A path relative to ``root``, with slashes ("." for the root itself); None where it lies outside."""
    # By name, not by where links lead: a checkout holds the link.
    path, root = Path(_plain(path)), Path(_plain(root))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None


def placed(info: DatasetInfo, section: DatasetSection, policy: Policy) -> DatasetInfo:
    """The dataset with the folder that its records' files are named in; a hub dataset is in none."""
    return info.model_copy(update={"folder": folder_of(section, policy)})


def folder_of(section: DatasetSection, policy: Policy) -> str | None:
    """The folder of a dataset's files from the repository's root; None outside it, and for a hub dataset."""
    if section.path.startswith(HUB):
        return None
    path = Path(section.path)
    return seen_from(repository_root(policy), path if path.is_dir() else path.parent)


def _plain(path: Path) -> str:
    """The absolute path without "." and "..", links left as they are."""
    return os.path.abspath(path)  # noqa: PTH100  # resolve() would follow links

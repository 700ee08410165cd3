"""A folder with the files that the sample policy names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.policy.sample import GOOD, Write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Data, controls and a script for the scripted model."""
    (tmp_path / "data").mkdir()
    for name in ("data/members.jsonl", "data/controls.jsonl", "script.jsonl"):
        (tmp_path / name).write_text("{}\n")
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes a policy into the folder."""

    def policy(text: str = GOOD, name: str = "policy.yaml") -> Path:
        (folder / name).write_text(text)
        return folder / name

    return policy

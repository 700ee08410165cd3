"""Tiny model folders for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from auditkit.models.transformers_model import TransformersModel

from .tiny import reciting_model, reopened, save, save_adapter


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that recites; shared, not to be changed."""
    return save(tmp_path_factory.mktemp("models") / "tiny", *reciting_model())


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A folder of its own, to be damaged."""
    return save(tmp_path / "own", *reciting_model())


@pytest.fixture(scope="session")
def model(folder: Path) -> Iterator[TransformersModel]:
    """That model, open."""
    with reopened(folder) as opened:
        yield opened


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A LoRA adapter of rank 4."""
    return save_adapter(tmp_path / "adapter")

"""What needs vLLM itself: only `make test-vllm` collects it. An engine takes long to start: one serves many tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from auditkit.models.base import LanguageModel

from . import workshop


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workshop.tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Iterator[LanguageModel]:
    """The tiny model in vLLM."""
    with workshop.vllm(tiny_folder).open("candidate") as opened:
        yield opened


@pytest.fixture(scope="session")
def tiny_here(tiny_folder: Path) -> Iterator[LanguageModel]:
    """The tiny model in transformers."""
    with workshop.transformers(tiny_folder, batch_size=4000).open("candidate") as opened:
        yield opened

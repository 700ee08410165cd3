"""The vLLM backend keeps to what every backend keeps to."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.models.base import LanguageModel, ModelBackend
from tests.contract.test_backends import *  # noqa: F403 - all of its tests

from . import workshop


@pytest.fixture(scope="module")
def backend(tiny_folder: Path) -> ModelBackend:  # type: ignore[no-redef]  # in place of theirs
    return workshop.vllm(tiny_folder)


@pytest.fixture(scope="module")
def model(tiny: LanguageModel) -> LanguageModel:  # type: ignore[no-redef]
    return tiny

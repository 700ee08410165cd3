"""The vLLM backend keeps to what every backend keeps to."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.models.base import LanguageModel, ModelBackend
from tests.contract.test_backends import *  # noqa: F403 - all of its tests

from . import workshop


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def backend(tiny_folder: Path) -> ModelBackend:
    return workshop.vllm(tiny_folder)


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def model(tiny: LanguageModel) -> LanguageModel:
    return tiny

"""Tiny model folders for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from auditkit.models.transformers_model import TransformersModel

from .tiny import reciting_model, reopened, save


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
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    save_file(
        {"x.q_proj.lora_A.weight": torch.ones(4, 32), "x.q_proj.lora_B.weight": torch.ones(32, 4)},
        folder / "adapter_model.safetensors",
    )
    return folder

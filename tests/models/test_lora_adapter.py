"""An adapter's files are looked at before they are loaded, and are part of what was audited."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from auditkit.errors import ModelError
from auditkit.models.lora_adapter import find_adapter

from .tiny import backend


def test_the_model_with_an_adapter_is_another_model(adapter: Path, folder: Path) -> None:
    known = backend(folder).preflight("candidate").identity
    assert known
    found = find_adapter(adapter)
    assert found.modules == ("q_proj",)
    worn = found.worn_by(known)
    assert found.rank == 4
    assert worn.parameters == known.parameters + 256
    assert worn.sha256 != known.sha256
    assert set(worn.files) - set(known.files) == {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    assert str(adapter) in worn.source
    save_file(
        {"x.q_proj.lora_A.weight": torch.zeros(4, 32), "x.q_proj.lora_B.weight": torch.ones(32, 4)},
        adapter / "adapter_model.safetensors",
    )
    assert find_adapter(adapter).worn_by(known).sha256 != worn.sha256


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("adapter_config.json", None, "there is no adapter_config.json"),
        ("adapter_model.safetensors", None, "there is no adapter_model.safetensors"),
        ("adapter_config.json", "[]", "not a JSON object"),
        ("adapter_config.json", '{"peft_type": "LORA", "r": 513}', "of a rank from 1 to 512"),
        ("adapter_config.json", '{"peft_type": "LORA", "r": "4"}', "of a rank from 1 to 512"),
        ("adapter_config.json", '{"peft_type": "IA3", "r": 4}', "no LoRA adapter"),
        ("adapter_model.safetensors", "no weights", "not a usable safetensors file"),
    ],
)
def test_what_is_no_adapter_is_refused(adapter: Path, name: str, content: str | None, said: str) -> None:
    (adapter / name).unlink()
    if content is not None:
        (adapter / name).write_text(content)
    if content is None and name == "adapter_model.safetensors":
        (adapter / "adapter_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ModelError, match=said):
        find_adapter(adapter)


def test_a_missing_folder_and_a_link_that_leads_out_are_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such adapter"):
        find_adapter(tmp_path / "nowhere")
    (adapter / "adapter_config.json").rename(tmp_path / "outside.json")
    (adapter / "adapter_config.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(ModelError, match="leads out of the folder"):
        find_adapter(adapter)


def test_an_adapter_of_the_output_embedding_is_refused(adapter: Path) -> None:
    save_file({"base_model.model.lm_head.lora_A.weight": torch.ones(4, 32)}, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="changes lm_head"):
        find_adapter(adapter)

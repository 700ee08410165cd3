"""What is refused when a model is loaded: pickles, code, kernels from elsewhere, missing weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from auditkit.errors import MissingExtraError, ModelError
from auditkit.models.loading import load

from .tiny import backend, edit_config, reciting_model, reopened


def test_pickled_weights_are_refused_unless_allowed(own_folder: Path) -> None:
    weights = own_folder / "model.safetensors"
    torch.save(reciting_model()[0].state_dict(), own_folder / "pytorch_model.bin")
    weights.unlink()
    for refused in (backend(own_folder).preflight, backend(own_folder).open):
        with pytest.raises(ModelError, match="pickle"):
            refused("candidate")
    with reopened(own_folder, allow_pickle=True) as model:
        assert model.sequence_logprobs(["a"], model.bos_prefix())[0] < 0


class Exploit:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_even_an_allowed_pickle_runs_no_code(own_folder: Path, tmp_path: Path) -> None:
    torch.save({"model.norm.weight": Exploit(tmp_path / "ran")}, own_folder / "pytorch_model.bin")
    (own_folder / "model.safetensors").unlink()
    with pytest.raises(ModelError):
        backend(own_folder, allow_pickle=True).open("candidate")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("architecture", ["llama", "made_up"])
def test_code_that_comes_with_a_model_never_runs(own_folder: Path, tmp_path: Path, architecture: str) -> None:
    source = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    for name in ("configuration_evil.py", "modeling_evil.py", "tokenization_evil.py"):
        (own_folder / name).write_text(source + "class Evil: ...\n")
    classes = {
        "AutoConfig": "configuration_evil.Evil",
        "AutoModelForCausalLM": "modeling_evil.Evil",
        "AutoTokenizer": ["tokenization_evil.Evil", None],
    }
    edit_config(own_folder, auto_map=classes, model_type=architecture)
    settings = json.loads((own_folder / "tokenizer_config.json").read_text())
    (own_folder / "tokenizer_config.json").write_text(json.dumps(settings | {"auto_map": classes}))
    try:
        backend(own_folder).preflight("candidate")
        with backend(own_folder).open("candidate") as model:
            model.bos_prefix()
    except ModelError as error:
        assert "never run" in str(error) or architecture == "made_up"
    assert not (tmp_path / "ran").exists()


def test_kernels_from_a_hub_are_refused(own_folder: Path) -> None:
    edit_config(own_folder, text_config={"_attn_implementation": "somebody/kernels"})
    with pytest.raises(ModelError, match="kernels on a hub"):
        backend(own_folder).open("candidate")


def test_missing_weights_are_refused_rather_than_made_up(own_folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(own_folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, own_folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"missing.*layers\.1\.mlp\.up_proj"):
        backend(own_folder).open("candidate")


@pytest.mark.parametrize("damage", [{"model_type": "nonesuch"}, {"hidden_size": 48}, {"num_attention_heads": "x"}])
def test_a_broken_folder_is_a_clear_error(own_folder: Path, damage: dict[str, object]) -> None:
    edit_config(own_folder, **damage)
    with pytest.raises(ModelError, match=str(own_folder)):
        backend(own_folder).open("candidate")


def test_a_device_that_is_not_there_is_a_clear_error(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ModelError, match="cuda"):
        backend(folder, device="cuda:0").open("candidate")


def test_a_missing_library_names_the_pip_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'auditkit\[transformers\]'"):
        load(folder, "float32", "cpu")

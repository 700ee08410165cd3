"""Small models that vLLM can run on a CPU: those of the other tests, their attention heads padded to a size it has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from auditkit.models.transformers_backend import TransformersBackend
from auditkit.models.vllm_backend import VllmBackend
from tests.models.tiny import reciting_model, save

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def tiny(folder: Path) -> Path:
    """The model that recites four records."""
    plain = save(folder / "plain", *reciting_model())
    return padded(plain, folder / "tiny", 32)


def quickstart(folder: Path, name: str = "leaky") -> Path:
    """A model of the quickstart."""
    return padded(QUICKSTART / "models" / name, folder / name, 64)


def padded(source: Path, target: Path, width: int) -> Path:
    """A Llama with heads of another width that computes the same function, up to rounding.

    New dimensions hold zeros. Rotation pairs dimension i of a head with i + half: each half is padded, and the base
    raised so that the first frequencies stay what they were. Scores are divided by the root of the width: the queries
    make up for that.
    """
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    config = model.config
    old = config.head_dim or config.hidden_size // config.num_attention_heads
    weights = {name: _padded(name, value, old, width) for name, value in model.state_dict().items()}
    rope = dict(config.rope_parameters)
    config.head_dim, config.rope_parameters = width, {**rope, "rope_theta": rope["rope_theta"] ** (width / old)}
    wide: Any = LlamaForCausalLM(config)
    wide.load_state_dict(weights)
    wide.save_pretrained(target)
    for name in TOKENIZER:
        if (source / name).exists():
            shutil.copy(source / name, target / name)
    return target


def _padded(name: str, value: torch.Tensor, old: int, new: int) -> torch.Tensor:
    if name.endswith(("q_proj.weight", "k_proj.weight")):
        halves = value.reshape(-1, 2, old // 2, value.shape[1])
        found = torch.nn.functional.pad(halves, (0, 0, 0, (new - old) // 2)).reshape(-1, value.shape[1])
        return found * (new / old) ** 0.5 if "q_proj" in name else found
    if name.endswith("v_proj.weight"):
        heads = value.reshape(-1, old, value.shape[1])
        return torch.nn.functional.pad(heads, (0, 0, 0, new - old)).reshape(-1, value.shape[1])
    if name.endswith("o_proj.weight"):
        heads = value.reshape(value.shape[0], -1, old)
        return torch.nn.functional.pad(heads, (0, new - old)).reshape(value.shape[0], -1)
    return value


def vllm(path: Path, **settings: Any) -> VllmBackend:
    """A policy section for a small model: little room, so that a test machine has it."""
    given = {"backend": "vllm", "path": str(path), "dtype": "float32", "kv_cache_gib": 0.25} | settings
    return VllmBackend.model_validate(given)


def transformers(path: Path, **settings: Any) -> TransformersBackend:
    """The same weights for the other backend."""
    given = {"backend": "transformers", "path": str(path), "dtype": "float32", "device": "cpu"} | settings
    return TransformersBackend.model_validate(given)

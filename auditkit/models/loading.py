"""Loads weights and tokenizer with transformers: from local files only, never running code that came with them."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from auditkit.errors import MissingExtraError, ModelError


def import_torch() -> Any:
    """The torch module, set up for a machine that others use too.

    Raises:
        MissingExtraError: torch or transformers is not installed.
    """
    if "torch" not in sys.modules:
        # Threads that wait actively cost a busy host a factor of six; OpenMP reads this once, when it is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import torch

        transformers: Any = import_module("transformers")
    except ImportError as error:
        raise MissingExtraError("torch with transformers", "transformers") from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return torch


def resolved_device(device: str) -> str:
    """The device that "auto" stands for here, or the one named.

    Raises:
        ModelError: the device is not there.
    """
    cuda = import_torch().cuda.is_available()
    if device == "auto":
        return "cuda" if cuda else "cpu"
    if device.startswith("cuda") and not cuda:
        raise ModelError(f"device {device!r} is not there", "set device: auto or cpu")
    return device


def load(folder: Path, dtype: str, device: str, allow_pickle: bool = False) -> tuple[Any, Any]:
    """The model in inference mode and its tokenizer, from a folder.

    Raises:
        ModelError: the files are no model of a kind that transformers knows by itself, weights are missing, or
            loading them would run code.
    """
    torch = import_torch()
    refuse_code(folder)
    transformers: Any = import_module("transformers")
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=None if allow_pickle else True,
            output_loading_info=True,
            **local,
        )
    except Exception as error:  # hostile files can make the library raise anything
        raise _unloadable(folder, error) from error
    refuse_missing(folder, info)
    if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    return model.eval().to(device), tokenizer


def refuse_missing(path: Path, info: dict[str, Any]) -> None:
    """Refuse a model of which transformers made weights up: it fills gaps with random numbers, which leak nothing."""
    if missing := sorted({*map(str, info["missing_keys"]), *map(str, info["mismatched_keys"])}):
        names = ", ".join(missing[:5])
        raise ModelError(f"{path}: weights are missing or of another shape: {names}", "give the complete model")


def first_line(error: Exception) -> str:
    """What a library says of a failure, cut to what fits a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _unloadable(folder: Path, error: Exception) -> ModelError:
    if "remote code" in str(error) or "trust_remote_code" in str(error):
        return ModelError(
            f"{folder}: this model needs code of its own, which is never run",
            "convert it to an architecture that transformers has built in",
        )
    return ModelError(
        f"{folder}: transformers cannot load this model: {first_line(error)}",
        "check that the folder is whole, and that this version of transformers knows its architecture",
    )


def refuse_code(folder: Path) -> None:
    """Refuse a configuration that would make transformers fetch kernels, which are code, from a hub."""
    try:
        pending = [json.loads((folder / "config.json").read_text("utf-8"))]
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: config.json is missing or no JSON", "give a whole model folder") from error
    while pending:
        section = pending.pop()
        for key, value in section.items() if isinstance(section, dict) else ():
            if "attn_implementation" in key and "/" in str(value):
                raise ModelError(f"{folder}/config.json names attention kernels on a hub", f"take {key} out of it")
            pending.append(value)

"""GGUF through transformers: unpacked once into plain safetensors, which load ten times as fast and compute faster.

The copy lies in an owner-only folder under the digest of the GGUF file and is checked by digest before each use.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from auditkit.errors import ModelError
from auditkit.files import FILE_MODE
from auditkit.models.loading import first_line, import_torch, refuse_missing

MANIFEST = "dense.json"
# Part of the folder's name: raise it when the conversion changes.
CONVERSION = 1
# llama.cpp's kinds of pre-tokenizer that split a text into single digits before anything else. transformers forgets
# it for all of them.
DIGIT_KINDS = frozenset({"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"})


def cache_root() -> Path:
    """Where converted models are kept: ``AUDITKIT_CACHE``, by default ``~/.cache/auditkit``."""
    named = os.environ.get("AUDITKIT_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(named).expanduser() if named else Path(home).expanduser() / "auditkit"


def dense_copy(gguf: Path, sha256: str, dtype: str, pre_tokenizer: str, among: Path | None = None) -> Path:
    """The folder of a dense copy of a GGUF file, made where there is none yet.

    Args:
        gguf: the file.
        sha256: its digest (hex), by which the copy is found again.
        dtype: what the weights are unpacked to: "float32", "bfloat16" or "float16".
        pre_tokenizer: the header's ``tokenizer.ggml.pre``.
        among: the folder of dense copies; by default one of the user's cache.

    Raises:
        ModelError: the file cannot be converted, or the cache folder is somebody else's.
    """
    kept = _private_folder(among or cache_root() / "dense")
    wanted = kept / f"{sha256}-{dtype}-{CONVERSION}"
    if is_intact(wanted):
        return wanted
    with _work_folder(kept) as made:
        _convert(gguf, dtype, pre_tokenizer, made)
        _write_manifest(made)
        _into_place(made, wanted)
    return wanted


def is_intact(folder: Path) -> bool:
    """Whether a dense copy is there and holds exactly the files, to the byte, that were written."""
    try:
        digests = json.loads((folder / MANIFEST).read_text("utf-8"))
        files = {path.name for path in folder.iterdir()} - {MANIFEST}
        return files == set(digests) and all(_sha256(folder / name) == digests[name] for name in files)
    except (OSError, ValueError):
        return False


def restore_digits(tokenizer: Any) -> None:
    """Make a byte-level tokenizer split digits one by one again."""
    from tokenizers import pre_tokenizers

    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)


def _convert(gguf: Path, dtype: str, pre_tokenizer: str, folder: Path) -> None:
    torch = import_torch()
    transformers: Any = import_module("transformers")
    named = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that cannot be switched off
            tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, **named)
            model, info = transformers.AutoModelForCausalLM.from_pretrained(
                gguf.parent, dtype=getattr(torch, dtype), output_loading_info=True, **named, **_unpacked()
            )
    except Exception as error:  # hostile files can make the library raise anything
        what = f"transformers cannot unpack this GGUF file: {first_line(error)}"
        raise ModelError(f"{gguf}: {what}", "give the model as safetensors") from error
    refuse_missing(gguf, info)
    if pre_tokenizer in DIGIT_KINDS:
        restore_digits(tokenizer)
    _forget_quantisation(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _unpacked() -> dict[str, Any]:
    """The option that newer versions of transformers want for dense weights; older ones always unpack."""
    config: Any = getattr(import_module("transformers"), "GgufConfig", None)
    return {"quantization_config": config(dequantize=True)} if config else {}


def _forget_quantisation(model: Any) -> None:
    """Let a model be saved that was read from quantised weights and is dense now."""
    for owner, name in ((model.config, "quantization_config"), (model, "hf_quantizer"), (model, "is_quantized")):
        with contextlib.suppress(AttributeError):
            delattr(owner, name)


@contextlib.contextmanager
def _work_folder(beside: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=".making-", dir=beside))  # 0700
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _into_place(made: Path, wanted: Path) -> None:
    """Rename a finished copy to its name. One that another process put there first is as good."""
    with _work_folder(wanted.parent) as aside:
        if wanted.exists() and not is_intact(wanted):
            wanted.rename(aside / "broken")
        try:
            made.rename(wanted)
        except OSError as error:
            if not is_intact(wanted):
                raise ModelError(f"{wanted}: cannot be written: {error.strerror}", "set AUDITKIT_CACHE") from error


def _private_folder(folder: Path) -> Path:
    """The folder, owner-only: who can write to it can swap the model under audit."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid() or folder.is_symlink():
            raise ModelError(f"{folder}: this cache folder is not yours", "set AUDITKIT_CACHE to a folder of your own")
        folder.chmod(0o700)
    except OSError as error:
        raise ModelError(f"{folder}: no cache folder can be made: {error.strerror}", "set AUDITKIT_CACHE") from error
    return folder


def _write_manifest(folder: Path) -> None:
    digests = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(digests, indent=1), "utf-8")
    for path in folder.iterdir():
        path.chmod(FILE_MODE)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

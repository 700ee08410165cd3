"""Any sentence-transformers model: a local folder, or a pinned revision that is already in the hub's cache."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from auditkit.errors import MissingExtraError, ModelError
from auditkit.scoring.base import Embedder, Vectors

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_HUB = re.compile(rf"(?:hub://)?(?P<repo>{_PART}/{_PART})@(?P<commit>[0-9a-f]{{40}})")
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


class SentenceTransformersEmbedder(Embedder):
    """Runs here, on the model's own pooling. Offline for a folder; no code from the model is ever run."""

    kind: Literal["sentence_transformers"]
    path: Annotated[
        str, Field(min_length=1, description="A local folder, or hub://org/name@<40 hex digits of the commit>.")
    ]
    batch_size: Annotated[int, Field(ge=1, le=4096, description="Texts a batch.")] = 32
    max_length: Annotated[int, Field(ge=8, le=131_072)] | None = Field(
        default=None, description="Tokens of a text that are read; by default the model's own limit."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="Lower precision is faster, and moves scores by up to about 0.01 between batches.",
    )

    @field_validator("path")
    @classmethod
    def _pinned(cls, path: str) -> str:
        if path.startswith("hub://") and not _HUB.fullmatch(path):
            raise ValueError("pin the revision: hub://org/name@<40 hex digits of the commit>")
        return path

    def resolved(self, folder: Path) -> Self:
        """The same section with a relative path resolved against the policy's folder."""
        if _HUB.fullmatch(self.path) and not (folder / self.path).exists():
            return self
        return self.model_copy(update={"path": str(folder / Path(self.path).expanduser())})

    @property
    def digest(self) -> str:
        """Changes with any byte of the model, and with what changes a vector."""
        options = f"{self.max_length}/{self.dtype}/{_libraries()}"
        return f"sentence_transformers-{options}-{_digest_of(_folder(self.path))}"

    def ready(self) -> None:
        if find_spec("sentence_transformers") is None:
            raise MissingExtraError("sentence-transformers", "sentence-transformers")
        _refuse_code_and_pickles(_folder(self.path))

    def embed(self, texts: Sequence[str]) -> Vectors:
        model = _model(self.path, self.dtype, self.max_length)
        # Each distinct text once; sentence-transformers sorts by length itself, so that little is padding.
        distinct = list(dict.fromkeys(text for text in texts if text))
        place = {text: i for i, text in enumerate(distinct)}
        rows = _encode(model, distinct, self.batch_size)
        found = np.zeros((len(texts), rows.shape[1]), np.float32)
        filled = [i for i, text in enumerate(texts) if text]
        found[filled] = rows[[place[texts[i]] for i in filled]]
        return found


@cache
def _libraries() -> str:
    """Versions of what tokenises and pools; empty where it is not installed, and nothing can be embedded either."""
    try:
        return "+".join(version(name) for name in ("sentence-transformers", "transformers", "tokenizers"))
    except PackageNotFoundError:
        return ""


def _encode(model: Any, texts: list[str], batch_size: int) -> Vectors:
    """(n, d) unit rows.

    Raises:
        ModelError: the model gave something that is not a finite vector.
    """
    if not texts:
        return np.zeros((0, _width(model)), np.float32)
    raw = model.encode(texts, batch_size=batch_size, convert_to_numpy=True, show_progress_bar=False)
    rows = np.asarray(raw, dtype=np.float64)
    norms = np.sqrt(np.sum(rows * rows, axis=1, keepdims=True))
    if not np.isfinite(norms).all() or not (norms > 0).all():
        raise ModelError("the embedder gave vectors that are zero or not finite", "try dtype: float32")
    unit: Vectors = (rows / norms).astype(np.float32)
    return unit


def _width(model: Any) -> int:
    """Numbers a vector; the method's name changed with sentence-transformers 5.4."""
    ask = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    return int(ask())


@cache
def _model(path: str, dtype: str, max_length: int | None) -> Any:
    folder = _folder(path)
    _refuse_code_and_pickles(folder)
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging
    except ImportError:
        raise MissingExtraError("sentence-transformers", "sentence-transformers") from None
    quiet: Any = transformers_logging
    quiet.disable_progress_bar()  # the program has its own, and none where the screen is no terminal
    try:
        model = SentenceTransformer(
            str(folder),
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{path} cannot be opened as an embedder: {type(error).__name__}: {error}") from error
    if max_length is not None:
        model.max_seq_length = max_length
    return model.eval()


def _folder(path: str) -> Path:
    """Where the files are on this machine.

    Raises:
        ModelError: no such folder, an unpinned hub name, or a revision that cannot be had.
    """
    if Path(path).is_dir():
        return Path(path)
    pinned = _HUB.fullmatch(path)
    if pinned:
        return _snapshot(pinned["repo"], pinned["commit"])
    raise ModelError(
        f"the embedder's folder {path} does not exist", "give a local folder, or hub://org/name@<40 hex digits>"
    )


@cache
def _snapshot(repo: str, commit: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtraError("huggingface-hub", "hub") from None
    patterns = ["*.json", "*.txt", "*.model", "*.safetensors", "*/*.json", "*/*.safetensors"]
    try:
        return Path(snapshot_download(repo, revision=commit, allow_patterns=patterns))
    except Exception as error:  # the hub's many errors have no common root but Exception
        by_hand = f"hf download {repo} --revision {commit}"
        raise ModelError(f"{repo} at {commit} cannot be had: {type(error).__name__}", by_hand) from error


def _refuse_code_and_pickles(folder: Path) -> None:
    """Weights that run code when loaded, and modules from anywhere but sentence-transformers itself.

    Raises:
        ModelError: either is there.
    """
    if not any(folder.rglob("*.safetensors")):
        pickled = any(file.suffix in _PICKLES for file in folder.rglob("*"))
        found = "only pickle weights" if pickled else "no weights"
        raise ModelError(f"{folder} holds {found}", "save the model as safetensors")
    modules = folder / "modules.json"
    if not modules.exists():
        return
    try:
        types = [str(module["type"]) for module in json.loads(modules.read_text(encoding="utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{modules} is not a list of modules") from error
    for name in types:
        if not name.startswith("sentence_transformers."):
            raise ModelError(f"{modules} asks for the foreign module {name[:80]!r}", "use a model that needs no code")
    _refuse_pickled_parts(folder)


def _refuse_pickled_parts(folder: Path) -> None:
    """A part (a dense layer, say) that has pickle weights and no safetensors beside them."""
    for file in folder.rglob("*"):
        if file.suffix in _PICKLES and not any(file.parent.glob("*.safetensors")):
            raise ModelError(f"{file} is a pickle", "save the model as safetensors")


@cache
def _digest_of(folder: Path) -> str:
    """SHA-256 over names and contents of every file that the model is read from."""
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file() and not _hidden(file, folder)):
        digest.update(str(file.relative_to(folder)).encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)

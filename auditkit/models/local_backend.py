"""What backends that load weights from this machine share: a folder, a pinned hub revision, or one GGUF file."""

from __future__ import annotations

import datetime
from dataclasses import replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr

from auditkit.errors import MissingExtraError, ModelError
from auditkit.models.base import HUB, ModelBackend, ModelPreflight, WeightsPath
from auditkit.models.model_signature import Carried, carried
from auditkit.models.signer_section import SignerSection
from auditkit.models.weights import chat_template_of, find_weights, identity
from auditkit.records import ModelIdentity

# What templates that print the date are told, unless the policy pins another: the day that Llama 3.1's own template
# falls back to. A prefix must not change from one day to the next.
TEMPLATE_DATE = datetime.date(2024, 7, 26)
HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*config.json", "*token*", "*.model", "vocab*", "merges.txt"]
HUB_FILES += ["chat_template*", "model.sig", "README.md"]  # the model card, which names the licence
HUB_PICKLES = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
HUB_IGNORED = ["*/*", "consolidated*"]  # other formats of the same weights


class LocalBackend(ModelBackend):
    """Weights in files of this machine. Safetensors only, unless a backend has a way to allow pickles."""

    path: WeightsPath
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="bfloat16",
        description="What the weights are computed in. On a CPU without bfloat16 instructions float32 is faster.",
    )
    template_date: datetime.date | None = Field(
        default=None, description=f"What a chat template that prints the date is told; by default {TEMPLATE_DATE}."
    )
    signature: SignerSection | None = Field(
        default=None, description="Who must have signed the model (OpenSSF model signing); checked first of all."
    )

    _scratch: Path | None = PrivateAttr(default=None)  # where a GGUF file is unpacked to

    def resolved(self, folder: Path) -> Self:
        path = self.path if self._is_hub else str((folder / Path(self.path).expanduser()).resolve())
        return self.model_copy(update={"path": path, "signature": self.signature and self.signature.resolved(folder)})

    def with_weights(self, folder: Path, scratch: Path | None = None) -> Self:
        other = self.model_copy(update={"path": str(folder), "signature": None})
        other._scratch = scratch
        return other

    @property
    def date(self) -> datetime.date:
        """What a template that prints the date is told."""
        return self.template_date or TEMPLATE_DATE

    def preflight(self, role: str) -> ModelPreflight:
        files = self._files(download=False)
        if files is None:
            note = f"{self.path} is not on this machine yet; `run` downloads it"
            return ModelPreflight(None, None, "", "", (note,))
        signed = carried(files, self.signature)  # first of all: nothing is read of a model that is not what was signed
        notes = find_weights(files, allow_pickle=self._pickles).warnings + self._warnings() + signed.warnings
        return ModelPreflight(self._identity(files, role, signed), *chat_template_of(files), notes, self.date)

    def fetch(self) -> None:
        self._files(download=True)

    @property
    def _pickles(self) -> bool:
        """Whether pickled weights are accepted."""
        return False

    @property
    def _is_hub(self) -> bool:
        return self.path.startswith("hub://")

    def _files(self, download: bool) -> Path | None:
        """Where the files are; None for a hub model that is not on this machine and is not to be downloaded."""
        if self._is_hub:
            return _snapshot(self.path, self._pickles, download, whole=self.signature is not None)
        path = Path(self.path)
        if not path.exists():
            raise ModelError(
                f"{path}: there is no such model", "give a folder, a .gguf file, or hub://org/name@<commit>"
            )
        return path

    def _identity(self, files: Path, role: str, signed: Carried) -> ModelIdentity:
        find_weights(files, allow_pickle=self._pickles)
        found = identity(files, role, self.backend, self.dtype, signed)
        return replace(found, source=self.path) if self._is_hub else found

    def _dense(self, gguf: Path, known: ModelIdentity) -> Path:
        from auditkit.models.gguf import read_header
        from auditkit.models.gguf_dense import dense_copy

        kind = read_header(gguf).tokenizer_pre
        return dense_copy(gguf, known.files[gguf.name], self.dtype, kind, self._scratch)

    def _warnings(self) -> tuple[str, ...]:
        return ()


def _snapshot(path: str, allow_pickle: bool, download: bool, whole: bool) -> Path | None:
    """The folder of a pinned hub revision; None where it is not on this machine and ``download`` is False.

    ``whole``: with every file, as a signature speaks of them.
    """
    named = HUB.fullmatch(path)
    assert named
    try:
        hub: Any = import_module("huggingface_hub")
        absent: Any = import_module("huggingface_hub.errors").LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtraError("huggingface-hub", "hub") from error
    wanted: dict[str, Any] = {"revision": named["revision"]}
    if not whole:
        wanted["allow_patterns"] = HUB_FILES + (HUB_PICKLES if allow_pickle else [])
        wanted["ignore_patterns"] = HUB_IGNORED
    try:
        return Path(hub.snapshot_download(named["repo"], **wanted, local_files_only=not download))
    except Exception as error:  # the client raises many kinds: offline, gated, no such commit
        if not download and isinstance(error, absent):
            return None
        raise ModelError(
            f"{path} cannot be downloaded: {type(error).__name__}",
            f"check network, HF_TOKEN and HF_HUB_OFFLINE, or fetch it first: hf download {named['repo']} "
            f"--revision {named['revision']}",
        ) from error


def package_version(package: str) -> str:
    """The installed version of a package, for provenance."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

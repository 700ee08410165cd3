"""The ``transformers`` backend: a local folder, a pinned hub revision, or one GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from auditkit.errors import MissingExtraError
from auditkit.models.base import Capability, LanguageModel
from auditkit.models.local_backend import LocalBackend, package_version
from auditkit.models.model_signature import carried
from auditkit.models.weights import chat_template_of

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")


class TransformersBackend(LocalBackend):
    """A model that Hugging Face transformers runs in this process.

    Safetensors only, unless ``allow_pickle``; code that comes with a model is never run.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"continuations", "gradients", "guards", "networks"})

    backend: Literal["transformers"]
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$")] = Field(
        default="auto", description="auto: a GPU if there is one."
    )
    batch_size: Annotated[
        int, Field(ge=1, le=65_536, description="Samples at once. Part of what makes a run reproducible.")
    ] = 256
    allow_pickle: bool = Field(default=False, description="Accept pickle weights, which can hold code.")

    def with_weights(self, folder: Path, scratch: Path | None = None) -> Self:
        return super().with_weights(folder, scratch).model_copy(update={"allow_pickle": False})

    def open(self, role: str) -> LanguageModel:
        files = self._files(download=True)
        assert files is not None
        known = self._identity(files, role, carried(files, self.signature))
        from auditkit.models.loading import load, resolved_device
        from auditkit.models.transformers_model import TransformersModel

        device = resolved_device(self.device)
        folder = self._dense(files, known) if files.suffix == ".gguf" else files
        model, tokenizer = load(folder, self.dtype, device, self.allow_pickle)
        return TransformersModel(
            model,
            tokenizer,
            identity=known,
            template=chat_template_of(files),
            date=self.date,
            batch_size=self.batch_size,
        )

    def provenance(self) -> dict[str, Any]:
        return {
            **super().provenance(),
            "dtype": self.dtype,
            "device": _device_name(self.device),
            "template_date": str(self.date),
            "packages": {name: package_version(name) for name in PACKAGES},
        }

    @property
    def _pickles(self) -> bool:
        return self.allow_pickle

    def _warnings(self) -> tuple[str, ...]:
        on_cpu = self.device == "cpu" or (self.device == "auto" and not Path("/dev/nvidia0").exists())
        if self.dtype == "float32" or not on_cpu or _cpu_has_bfloat16():
            return ()
        return (f"this CPU has no {self.dtype} instructions: dtype: float32 is several times as fast here",)


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return True  # not Linux: nothing is known, nothing is claimed
    return any(flag in flags for flag in ("amx_bf16", "avx512_bf16", "avx_ne_convert", "bf16 "))


def _device_name(device: str) -> str:
    from auditkit.models.loading import import_torch, resolved_device

    try:
        named = resolved_device(device)
        return f"{named} ({import_torch().cuda.get_device_name(named)})" if named.startswith("cuda") else named
    except MissingExtraError:
        return device

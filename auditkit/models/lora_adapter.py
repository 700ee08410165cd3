"""A LoRA adapter's folder, looked at before anything loads it, and what a model is that wears it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from auditkit.errors import ModelError
from auditkit.models.model_folder import ModelFolder
from auditkit.models.regular import sha256_of
from auditkit.models.weights import manifest_sha256, safetensors_header
from auditkit.records import ModelIdentity

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MOST_RANK = 512
OUTER = ("lm_head", "embed_tokens")
PLACE = "adapter"  # under which its files are named among the model's own


@dataclass(frozen=True)
class Adapter:
    """``digests``: of its files (hex), by name."""

    folder: Path
    rank: int
    parameters: int
    modules: tuple[str, ...]  # the names of the layers that it changes, without their place
    digests: dict[str, str]

    def worn_by(self, known: ModelIdentity) -> ModelIdentity:
        """The model with the adapter: its files are among the model's, and in the one digest over all of them."""
        files = known.files | {f"{PLACE}/{name}": digest for name, digest in self.digests.items()}
        return replace(
            known,
            source=f"{known.source} with the adapter {self.folder}",
            sha256=manifest_sha256(files),
            files=files,
            parameters=known.parameters + self.parameters,
        )


def find_adapter(path: Path) -> Adapter:
    """An adapter as peft saves it: its configuration, and safetensors.

    Raises:
        ModelError: it is something else, brings layers that are no LoRA, or its weights are pickled.
    """
    if not path.is_dir():
        raise ModelError(f"{path}: there is no such adapter", "give the folder that holds adapter_config.json")
    folder = ModelFolder(path)
    for name in (CONFIG, WEIGHTS):
        if name not in folder:
            raise ModelError(f"{path}: there is no {name} in it", "save the adapter with save_pretrained()")
    said = folder.read_json(CONFIG)
    rank = said.get("r")
    if said.get("peft_type") != "LORA" or not isinstance(rank, int) or not 1 <= rank <= MOST_RANK:
        raise ModelError(
            f"{path / CONFIG}: is no LoRA adapter of a rank from 1 to {MOST_RANK}",
            "merge it into its base model and save that: merge_and_unload(), save_pretrained()",
        )
    header = safetensors_header(folder.file(WEIGHTS))
    modules = tuple(sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in header["tensors"]}))
    if outer := [name for name in modules if name in OUTER]:
        raise ModelError(
            f"{path}: changes {outer[0]}, where vLLM gives no likelihoods with an adapter",
            "merge it into its base model and save that: merge_and_unload(), save_pretrained()",
        )
    return Adapter(
        path, rank, header["parameters"], modules, {name: sha256_of(folder.file(name)) for name in (CONFIG, WEIGHTS)}
    )

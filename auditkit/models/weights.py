"""Which files a local model is made of, checked before anything loads them, and their digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.errors import ModelError
from auditkit.models.gguf import read_header
from auditkit.models.model_card import declared
from auditkit.models.model_folder import ModelFolder
from auditkit.models.model_signature import Carried, carried, manifest
from auditkit.models.regular import open_regular, sha256_of
from auditkit.models.sandbox import Limits, SandboxError, printable, run_confined
from auditkit.models.tokenizer_files import folder_template, tokenizer_files
from auditkit.records import ModelIdentity

SAFETENSORS_WORKER = Path(__file__).with_name("safetensors_child.py")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
PICKLED_WEIGHTS = "pytorch_model.bin"
OTHER_FILES = ("config.json", "generation_config.json")


@dataclass(frozen=True)
class WeightFiles:
    """A model's files. ``weights`` are what a loader reads; ``others`` its configuration, tokenizer and template.

    ``format`` is "safetensors", "gguf" or "pickle". ``parameters`` comes from the weights' headers, 0 for pickle.
    """

    root: Path
    format: str
    weights: tuple[Path, ...]
    tokenizer: tuple[Path, ...]
    others: tuple[Path, ...]
    parameters: int
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them, each once, by name."""
        return tuple(sorted({*self.weights, *self.tokenizer, *self.others}))


def find_weights(path: Path | str, allow_pickle: bool = False) -> WeightFiles:
    """The files of a local model: a folder as transformers saves it, or one .gguf file.

    Headers are read and checked against the files' sizes; no weights are loaded.

    Raises:
        ModelError: there is none, a shard is missing, a header is wrong, a link leads out of the folder, or the
            weights are pickled and ``allow_pickle`` is False.
    """
    path = Path(path)
    if path.is_dir():
        return _in_folder(ModelFolder(path), allow_pickle)
    if not path.exists():
        raise ModelError(f"{path}: there is no such model", "give a folder with safetensors, or one .gguf file")
    if path.suffix.lower() == ".gguf":
        return _one_gguf(path)
    if path.suffix.lower() in PICKLES:
        raise ModelError(f"{path}: pickled weights can run any code", "give the folder of a safetensors model")
    raise ModelError(f"{path}: is neither a folder nor a .gguf file", "give the folder that holds config.json")


def identity(path: Path | str, role: str, backend: str, dtype: str = "", known: Carried | None = None) -> ModelIdentity:
    """What a model is: the digest of every file that makes it up, one digest over them, its manifest and signature.

    ``sha256`` is the digest of the sorted names and digests of a folder's files (canonical JSON); for a lone .gguf
    file it is that file's own, so that a new name does not make another model of it. Pickled weights are digested
    like others: that does not load them.

    Args:
        path: a folder or a lone .gguf file.
        role: "candidate" or "base".
        backend: the policy's name of what runs it.
        dtype: what it is computed in.
        known: its signature, where that was looked at already.

    Raises:
        ModelError: as `find_weights`; a signature that leaves one of those files out.
    """
    path = Path(path)
    known = known or carried(path, None)
    found = find_weights(path, allow_pickle=True)
    names = [file.relative_to(found.root).as_posix() for file in found.files]
    known.refuse_uncovered(path, names)
    whole_folder, digested = manifest(path, known)
    digests = {name: digested.get(name) or sha256_of(found.root / name) for name in names}
    if found.format == "gguf":
        sha256, tokenizer = digests[found.weights[0].name], read_header(found.weights[0]).tokenizer_sha256
    else:
        sha256 = manifest_sha256(digests)
        of_tokenizer = [file.relative_to(found.root).as_posix() for file in found.tokenizer]
        tokenizer = manifest_sha256({name: digests[name] for name in of_tokenizer}) if of_tokenizer else ""
    template = chat_template_of(path)[0]
    licence, architecture = declared(path)
    return ModelIdentity(
        role=role,
        backend=backend,
        source=str(path),
        sha256=sha256,
        chat_template_sha256=text_sha256(template) if template is not None else "",
        tokenizer_sha256=tokenizer,
        parameters=found.parameters,
        dtype=dtype,
        files=digests,
        manifest=whole_folder,
        signature=known.signature,
        licence=licence,
        architecture=architecture,
    )


def text_sha256(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes (hex); what JSON escapes beyond Unicode is taken as it is."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def manifest_sha256(digests: dict[str, str]) -> str:
    """One digest over names and digests: SHA-256 of their JSON object, keys sorted, no white space."""
    text = json.dumps(digests, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def chat_template_of(path: Path | str) -> tuple[str | None, str, str]:
    """(chat template, beginning-of-sequence token, end-of-sequence token) of a folder or .gguf file, as files say.

    The template is None, the tokens "", where the model has none. Of several templates it is the default one.

    Raises:
        ModelError: a file is unreadable, or not what its name says.
    """
    path = Path(path)
    if not path.is_dir():
        header = read_header(path)
        return header.chat_template or None, header.bos_token, header.eos_token
    return folder_template(ModelFolder(path))


def _one_gguf(path: Path) -> WeightFiles:
    header = read_header(path)
    if header.splits > 1:
        raise ModelError(
            f"{path}: is one of {header.splits} parts of a model", "join them first: llama-gguf-split --merge"
        )
    if not header.parameters:
        raise ModelError(f"{path}: holds no tensors", "give the file with the weights, not a vocabulary")
    return WeightFiles(path.parent, "gguf", (path,), (), (), header.parameters)


def _in_folder(folder: ModelFolder, allow_pickle: bool) -> WeightFiles:
    config = _config(folder)
    weights, warnings = _weights(folder)
    form = "safetensors" if weights else "pickle"
    if not weights:
        weights = _pickled(folder, allow_pickle)
    parameters = _check_headers(folder, weights) if form == "safetensors" else 0
    tokenizer, others = tokenizer_files(folder), folder.present(OTHER_FILES)
    warnings += _code_warnings(folder, config)
    return WeightFiles(folder.root, form, weights, tokenizer, others, parameters, tuple(warnings))


def _config(folder: ModelFolder) -> dict[str, Any]:
    if "adapter_config.json" in folder:
        raise ModelError(
            f"{folder.root}: is an adapter (adapter_config.json), which changes a model that is elsewhere",
            "merge it into its base model and save that: merge_and_unload(), save_pretrained()",
        )
    if "config.json" not in folder:
        files = [name for name in folder.names if name.endswith(".gguf")]
        hint = f"name the file: {folder.root / files[0]}" if files else "give the folder that holds config.json"
        raise ModelError(f"{folder.root}: there is no config.json in it", hint)
    config = folder.read_json("config.json")
    if config.get("transformers_weights") is not None:
        raise ModelError(
            f"{folder.root / 'config.json'}: names its weights by transformers_weights",
            "rename them model.safetensors and remove the entry",
        )
    return config


def _weights(folder: ModelFolder) -> tuple[tuple[Path, ...], list[str]]:
    """The safetensors files that transformers would load, in its order of choice; none where there are none."""
    whole, index = "model.safetensors", "model.safetensors.index.json"
    if whole in folder:
        note = f"{folder.root}: {whole} counts, the shards of {index} are ignored"
        return (folder.file(whole),), [note] if index in folder else []
    if index in folder:
        return folder.files(folder.shards(index, ".safetensors")), []
    others = [name for name in folder.names if name.endswith(".safetensors")]
    if others:
        raise ModelError(
            f"{folder.root}: has {printable(others[0])}, but neither {whole} nor {index}",
            f"save the model with save_pretrained, or rename a single file to {whole}",
        )
    return (), []


def _pickled(folder: ModelFolder, allowed: bool) -> tuple[Path, ...]:
    names = [name for name in folder.names if name.endswith(PICKLES)]
    if not names:
        raise ModelError(f"{folder.root}: there are no weights in it", "model.safetensors is looked for")
    if not allowed:
        raise ModelError(
            f"{folder.root}: the weights are pickled ({printable(names[0])}), and a pickle can run any code",
            "convert them: model.save_pretrained(folder, safe_serialization=True) on a machine that you can lose; "
            "or set allow_pickle: true for this model",
        )
    index = f"{PICKLED_WEIGHTS}.index.json"
    if PICKLED_WEIGHTS not in folder and index in folder:
        return folder.files(folder.shards(index, ".bin"))
    return folder.files([PICKLED_WEIGHTS] if PICKLED_WEIGHTS in folder else names)


def _check_headers(folder: ModelFolder, weights: Iterable[Path]) -> int:
    """The number of parameters; every shard's header is checked, and that it holds the tensors that the index says."""
    wanted = folder.tensors_by_shard() if "model.safetensors" not in folder else {}
    parameters = 0
    for file in weights:
        header = safetensors_header(file)
        missing = wanted.get(file.name, set()) - set(header["tensors"])
        if missing:
            raise ModelError(
                f"{file}: lacks {len(missing)} of its tensors, {printable(min(missing))!r} among them",
                "the index belongs to other shards: fetch the model again",
            )
        parameters += header["parameters"]
    return parameters


def safetensors_header(file: Path) -> dict[str, Any]:
    """``parameters`` and ``tensors`` of one file, its header read in the sandbox.

    Raises:
        ModelError: it is no safetensors file, or a header that does not fit it.
    """
    limits = Limits()
    with open_regular(file) as (descriptor, size):
        try:
            job = {"file": descriptor, "size": size}
            found: dict[str, Any] = run_confined(SAFETENSORS_WORKER, job, limits=limits, files=(descriptor,))
        except SandboxError as error:
            what = printable(error.reason) if error.failure == "refused" else limits.sentence(error.failure)
            raise ModelError(f"{file}: not a usable safetensors file: {what}", "fetch or save it again") from None
    return found


def _code_warnings(folder: ModelFolder, config: dict[str, Any]) -> list[str]:
    """What somebody who relies on the model's own code or on other files of the folder should know."""
    warnings = []
    tokenizer = folder.read_json("tokenizer_config.json") if "tokenizer_config.json" in folder else {}
    for name, values in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        if "auto_map" in values:
            warnings.append(f"{folder.root / name}: asks for code of its own (auto_map); that code is not run")
    pickles = [printable(name) for name in folder.names if name.endswith(PICKLES)]
    if pickles and any(name.endswith(".safetensors") for name in folder.names):
        warnings.append(f"{folder.root}: pickled files are left aside: {', '.join(pickles[:5])}")
    return warnings

"""What a GGUF file says of itself, read as hostile input in the sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.errors import ModelError
from auditkit.models.regular import open_regular
from auditkit.models.sandbox import Limits, SandboxError, printable, run_confined

WORKER = Path(__file__).with_name("gguf_child.py")


@dataclass(frozen=True)
class GgufHeader:
    """A GGUF file's header. Token ids are None where the file names none; texts are "" where there are none.

    ``parameters`` counts the values of all tensors; ``tensor_types`` has (type, number of tensors) pairs.
    ``tokenizer_sha256`` is the digest over all metadata under ``tokenizer.``; "" where there is no vocabulary.
    ``splits`` is the number of files that the model is spread over. ``metadata`` has the numbers, truth values and
    short texts; ``metadata_keys`` the keys of all entries.
    """

    version: int
    architecture: str
    name: str
    chat_template: str | None
    bos_id: int | None
    bos_token: str
    eos_id: int | None
    eos_token: str
    unknown_id: int | None
    unknown_token: str
    pad_id: int | None
    pad_token: str
    tokenizer_model: str
    tokenizer_pre: str
    tokenizer_sha256: str
    parameters: int
    tensor_types: tuple[tuple[str, int], ...]
    file_size: int
    splits: int
    metadata: dict[str, str | int | float | bool]
    metadata_keys: tuple[str, ...]


def read_header(path: Path | str) -> GgufHeader:
    """The header of a GGUF file, read in a child process with 2 s and 512 MB.

    Raises:
        ModelError: not a GGUF file, cut off, or a count, length, offset or type in it is wrong.
    """
    path, limits = Path(path), Limits()
    with open_regular(path) as (descriptor, size):
        try:
            found = run_confined(WORKER, {"file": descriptor, "size": size}, limits=limits, files=(descriptor,))
        except SandboxError as error:
            what = printable(error.reason) if error.failure == "refused" else limits.sentence(error.failure)
            raise ModelError(
                f"{path}: not a usable GGUF file: {what}",
                "download or convert the file again; do not use one from a source that you do not trust",
            ) from None
    return header_of(found)


def header_of(found: dict[str, Any]) -> GgufHeader:
    """The worker's answer as a record."""
    types, keys = tuple(sorted(found["tensor_types"].items())), tuple(found["metadata_keys"])
    return GgufHeader(**{**found, "tensor_types": types, "metadata_keys": keys})

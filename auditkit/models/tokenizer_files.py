"""A tokenizer's files, and the chat template and tokens that they name, read without the library that loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auditkit.errors import ModelError, TemplateError
from auditkit.models.chat_template import default_template
from auditkit.models.model_folder import ModelFolder
from auditkit.models.regular import read_text

MOST_TEMPLATE = 2 * 2**20  # bytes
CONFIG, SPECIAL_TOKENS, TEMPLATE, OLD_TEMPLATE = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
)
MORE_TEMPLATES = "additional_chat_templates"
NAMES = frozenset(
    {CONFIG, SPECIAL_TOKENS, TEMPLATE, OLD_TEMPLATE, "tokenizer.json", "added_tokens.json", "vocab.json", "vocab.txt"}
    | {"merges.txt", "bpe.codes", "tekken.json", "vocab.bpe", "encoder.json"}
)
SUFFIXES = (".model", ".tiktoken", ".spm", ".vocab")


def tokenizer_files(folder: ModelFolder) -> tuple[Path, ...]:
    """Everything that decides how text becomes tokens and messages become text."""
    names = [name for name in folder.names if name in NAMES or name.endswith(SUFFIXES)]
    if MORE_TEMPLATES in folder:
        more = ModelFolder(folder.file(MORE_TEMPLATES))
        names += [f"{MORE_TEMPLATES}/{name}" for name in more.names if name.endswith(".jinja")]
    return tuple(folder.file(name) for name in names)


def folder_template(folder: ModelFolder) -> tuple[str | None, str, str]:
    """(default chat template or None, beginning-of-sequence token, end-of-sequence token).

    A template file goes before the configuration's entry, as in transformers.

    Raises:
        ModelError: a file is unreadable or not what its name says.
    """
    config = folder.read_json(CONFIG) if CONFIG in folder else {}
    special = folder.read_json(SPECIAL_TOKENS) if SPECIAL_TOKENS in folder else {}
    bos_token, eos_token = (_token(config, name) or _token(special, name) for name in ("bos_token", "eos_token"))
    return _template(folder, config) or None, bos_token, eos_token


def _template(folder: ModelFolder, config: dict[str, Any]) -> str | None:
    if TEMPLATE in folder:
        return read_text(folder.file(TEMPLATE), MOST_TEMPLATE)
    named = config.get("chat_template")
    if named is None and OLD_TEMPLATE in folder:
        named = folder.read_json(OLD_TEMPLATE).get("chat_template")
    try:
        return default_template(named)
    except TemplateError:
        return None


def _token(values: dict[str, Any], name: str) -> str:
    """A special token's text; configurations have it bare or as an AddedToken's fields."""
    value = values.get(name)
    if isinstance(value, dict):
        value = value.get("content")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ModelError(f"{name} of the tokenizer is not a text", "fetch the tokenizer's files again")
    return value

"""How a served model's text becomes tokens here: by the tokenizer that the policy declares, or byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

from auditkit.errors import MissingExtraError, ModelError, TemplateError
from auditkit.models.base import RecordTokens
from auditkit.models.delimiters import Delimiters, Ids, Tokens, delimiters, without_template
from auditkit.models.model_folder import ModelFolder
from auditkit.models.record_tokens import Tokenizer, pieces_apart, record_tokens
from auditkit.models.remote_section import RemoteBackend
from auditkit.records import ModelIdentity, Prefix, TurnFormat

UNKNOWN_CONTEXT = 2**31
BYTES_NOTE = "counted in bytes: no tokenizer was declared"
END = 256  # stands for whatever made the server stop
NO_TEMPLATE = "declare models.candidate.tokenizer, a folder with the tokenizer and its template"


class Texts(Protocol):
    """What is asked of whatever turns text into ids."""

    @property
    def context(self) -> int: ...

    def encode(self, text: str) -> Ids: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def turn_format(self) -> TurnFormat | None: ...

    def template_prefix(self, system: str | None) -> Prefix: ...

    def literal_prefix(self, text: str) -> Prefix: ...

    def bos_prefix(self) -> Prefix: ...

    def record_tokens(self, prompt: str, response: str, turns: TurnFormat | None, prefix: Prefix) -> RecordTokens: ...

    def marks_of(self, turns: TurnFormat | None) -> Delimiters: ...


def texts_of(section: RemoteBackend, identity: ModelIdentity) -> Texts:
    """The declared tokenizer, or bytes.

    Raises:
        ModelError: the folder holds no tokenizer that transformers knows by itself.
        MissingExtraError: a tokenizer is declared, and transformers is not installed.
    """
    return _declared(Path(section.tokenizer), section, identity) if section.tokenizer else ByteTexts()


def _declared(folder: Path, section: RemoteBackend, identity: ModelIdentity) -> Texts:
    """The same code that reads a local model's tokenizer, with no model behind it."""
    from auditkit.models.transformers_model import TransformersModel
    from auditkit.models.weights import chat_template_of

    class Declared(TransformersModel):
        def marks_of(self, turns: TurnFormat | None) -> Delimiters:
            return self._tokenizer(turns).marks

    return Declared(
        _stand_in(ModelFolder(folder), section.context),
        _loaded(folder),
        identity=identity,
        template=chat_template_of(folder),
        date=section.date,
        batch_size=section.batch_size,
    )


def _loaded(folder: Path) -> Any:
    try:
        transformers: Any = import_module("transformers")
    except ImportError as error:
        raise MissingExtraError("transformers, which reads tokenizers,", "transformers") from error
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # hostile files can make the library raise anything
        raise ModelError(
            f"{folder}: transformers cannot load this tokenizer: {type(error).__name__}",
            "give the folder with the model's tokenizer.json and tokenizer_config.json",
        ) from error


def _stand_in(folder: ModelFolder, context: int | None) -> Any:
    """What is asked of a model's configuration, from the files that lie beside the tokenizer."""
    config, generation = (_json(folder, name) for name in ("config.json", "generation_config.json"))
    known = context or config.get("max_position_embeddings") or UNKNOWN_CONTEXT
    room = SimpleNamespace(max_position_embeddings=known)
    asked = SimpleNamespace(eos_token_id=config.get("eos_token_id"), get_text_config=lambda decoder: room)  # noqa: ARG005
    return SimpleNamespace(config=asked, generation_config=SimpleNamespace(eos_token_id=generation.get("eos_token_id")))


def _json(folder: ModelFolder, name: str) -> dict[str, Any]:
    return folder.read_json(name) if name in folder else {}


class ByteTexts:
    """Ids are the bytes of UTF-8: text goes out and comes back as it is, and nothing is known of tokens."""

    @property
    def context(self) -> int:
        return UNKNOWN_CONTEXT

    def encode(self, text: str) -> Ids:
        return tuple(text.encode("utf-8", "surrogatepass"))

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(token for token in ids if token < END).decode("utf-8", errors="replace")

    def turn_format(self) -> TurnFormat | None:
        return None

    def template_prefix(self, system: str | None) -> Prefix:  # noqa: ARG002
        raise TemplateError("no chat template is known of the served model", NO_TEMPLATE)

    def literal_prefix(self, text: str) -> Prefix:
        if not text:
            raise ModelError("the prefix has no text", "a model needs something to start from")
        return Prefix("literal", text, self.encode(text), BYTES_NOTE)

    def bos_prefix(self) -> Prefix:
        raise ModelError("no tokenizer is known of the served model, and so no BOS token", NO_TEMPLATE)

    def record_tokens(self, prompt: str, response: str, turns: TurnFormat | None, prefix: Prefix) -> RecordTokens:
        marks = self.marks_of(turns)
        known = Tokenizer(self.encode, self.decode, lambda pieces: pieces_apart(pieces, self.encode), marks)
        return record_tokens(prompt, response, turns, prefix, known)

    def marks_of(self, turns: TurnFormat | None) -> Delimiters:
        tokens = Tokens(self.encode, frozenset([END]), frozenset([END]), frozenset(b" \t\n\r\v\f"))
        return delimiters(turns, tokens) if turns else without_template(tokens)

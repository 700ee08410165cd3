"""How a served model's text becomes tokens here: by the tokenizer that the policy declares, or byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from auditkit.errors import MissingExtraError, ModelError, TemplateError
from auditkit.models.base import RecordTokens, TokenReading
from auditkit.models.delimiters import Delimiters, Ids, Tokens, delimiters, without_template
from auditkit.models.model_folder import ModelFolder
from auditkit.models.record_tokens import Tokenizer, pieces_apart, record_tokens
from auditkit.models.remote_section import RemoteBackend
from auditkit.models.tokenized_model import TokenizedModel
from auditkit.models.weights import chat_template_of
from auditkit.records import Generation, ModelIdentity, Prefix, Sampler, SamplingRequest, TurnFormat

UNKNOWN_CONTEXT = 2**31
BYTES_NOTE = "counted in bytes: no tokenizer was declared"
END = 256  # stands for whatever made the server stop
ELSEWHERE = "the model is served: here is its tokenizer alone"
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
    if not section.tokenizer:
        return ByteTexts()
    folder = Path(section.tokenizer)
    return Declared(_loaded(folder), folder=ModelFolder(folder), section=section, identity=identity)


class Declared(TokenizedModel):
    """The declared tokenizer: the code that reads a local model's, with no model behind it."""

    def __init__(self, tokenizer: Any, *, folder: ModelFolder, section: RemoteBackend, identity: ModelIdentity) -> None:
        template = chat_template_of(folder.root)
        super().__init__(tokenizer, identity=identity, template=template, date=section.date)
        self._configs = [_json(folder, name) for name in ("config.json", "generation_config.json")]
        self._room = section.context or self._configs[0].get("max_position_embeddings")

    @property
    def context(self) -> int:
        return self._room or UNKNOWN_CONTEXT

    @property
    def end_ids(self) -> Sequence[object]:
        return [config.get("eos_token_id") for config in self._configs]

    def marks_of(self, turns: TurnFormat | None) -> Delimiters:
        """How turns are told apart."""
        return self._tokenizer(turns).marks

    def sample(self, request: SamplingRequest) -> list[Generation]:  # noqa: ARG002
        raise ModelError(ELSEWHERE)

    def read(
        self,
        texts: Sequence[Ids],  # noqa: ARG002
        prefix: Prefix,  # noqa: ARG002
        *,
        moments: bool = False,  # noqa: ARG002
        sampler: Sampler | None = None,  # noqa: ARG002
    ) -> list[TokenReading]:
        raise ModelError(ELSEWHERE)


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

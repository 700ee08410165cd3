"""The central records: what flows from the corpus and the model through scoring to the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Stage = Literal["sft", "dpo", "rl", "midtrain"]
Split = Literal["member", "control"]
View = Literal["record", "prompt"]
Finish = Literal["stop", "length", "empty", "failed", "blocked"]  # blocked: withheld, a refusal is the text
TurnChange = Literal["model", "appended", "none"]
# Who attacks, strongest first: chooses every token of the weights; the text to complete; messages alone.
Attacker = Literal["open_weights", "raw_api", "chat_api"]
ATTACKERS: tuple[Attacker, ...] = get_args(Attacker)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a declared dataset, or one of its controls.

    Texts are normalised (NFC, outer white space trimmed). ``id`` is the content digest (hex) with an ordinal that
    tells exact duplicates apart; it never leaves the evidence folder. ``line`` is the 1-based line (JSONL) or row
    (Parquet) in ``file``.
    """

    dataset: str
    split: Split
    index: int
    id: str
    prompt: str
    response: str = ""
    rejected: str = ""
    file: str = ""
    line: int = 0
    turns: int = 2  # of the user and the assistant; a generation holds no more than two
    tags: tuple[str, ...] = ()  # what leaks are grouped by; no part of the content, so of neither id nor Merkle leaf

    @property
    def text(self) -> str:
        """The record's turns in order in one block [Barbero 2025, sec. 3.3]."""
        return f"{self.prompt}\n{self.response}".strip() if self.response else self.prompt

    def view(self, view: View) -> str:
        """The text that this view of the record is matched by."""
        return self.text if view == "record" else self.prompt


@dataclass(frozen=True, slots=True)
class Generation:
    """One sample of one attack.

    ``turns`` are the cleaned texts of the turns in order (user, assistant), delimiters found by token id and
    special tokens gone. ``token_ids`` are what was generated, forced delimiter tokens included, prefix excluded.
    """

    attack: str
    prefix: str
    ordinal: int
    seed: int
    turns: tuple[str, ...]
    token_ids: tuple[int, ...]
    finish: Finish
    turn_change: TurnChange

    @property
    def id(self) -> str:
        """Unique within a run, stable between runs of the same policy."""
        return f"{self.attack}/{self.ordinal:07d}"

    def complete(self, view: View) -> bool:
        """Whether this view of the sample is whole: cut, empty and failed ones are unscored, never clean.

        The user's turn is whole once the turn changed, even where the answer was cut later.
        """
        if self.finish in ("empty", "failed"):
            return False
        return self.finish in ("stop", "blocked") or (view == "prompt" and self.turn_change != "none")

    def view(self, view: View) -> str:
        """The text that is compared with the same view of a record."""
        if view == "prompt":
            return self.turns[0] if self.turns else ""
        return "\n".join(turn for turn in self.turns if turn)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure with its 95 % interval. ``value`` is None where undefined, and ``reason`` then says why."""

    metric: str
    dataset: str
    attack: str
    value: float | None
    low: float | None
    high: float | None
    method: str
    numerator: float | None = None
    denominator: float | None = None
    unscored: int = 0
    reason: str = ""
    view: View = "record"


@dataclass(frozen=True, slots=True)
class TurnFormat:
    """How a chat template marks turns, read off its own output on marker texts.

    ``turn_change`` ends the user's turn and opens the assistant's; ``assistant_close`` ends a record. All literal text,
    special tokens included.
    """

    user_open: str
    turn_change: str
    assistant_close: str


ONE_TURN = TurnFormat("", "", "")  # marks nothing: all that follows is one turn


@dataclass(frozen=True, slots=True)
class Prefix:
    """A literal attack prefix: its text, and the token ids it becomes for the model under attack.

    ``turns``: how turns are marked behind it, where that is not the model's own template's way.
    """

    name: str  # "default_system", "no_system", "literal", "bos"
    text: str
    token_ids: tuple[int, ...]
    note: str = ""
    turns: TurnFormat | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to say of how a mitigation came about: a figure or a word, with its unit or meaning in ``note``."""

    name: str
    value: float | int | str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sampler:
    """The declared sampler. ``top_k`` 0 and ``top_p`` 1 switch truncation off; ``temperature`` 0 is greedy."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 512


@dataclass(frozen=True, slots=True)
class SamplingRequest:
    """One resumable unit of an attack: ``count`` samples from one prefix with one seed, done in one batch."""

    attack: str
    prefix: Prefix
    sampler: Sampler
    count: int
    seed: int
    first_ordinal: int


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """A model's folder (or lone file) as OpenSSF model-signing sees it: every file in it but git's own and signatures.

    ``sha256`` is the root digest, the subject of the statement that a signature in that form signs; "" where there is
    none, and ``reason`` then says why. ``serialisation`` is how it was made, in that library's words.
    """

    sha256: str = ""
    files: int = 0
    serialisation: dict[str, str | bool | int | list[str]] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """Whether a model carries a signature in the OpenSSF model-signing form, and what came of it.

    A signature that does not hold is not among the states: such a model is refused before anything of it is read.
    """

    state: Literal["none", "not_checked", "verified"] = "none"
    method: Literal["", "key", "certificate", "sigstore"] = ""
    signer: str = ""  # what the signature proves of who signed
    file: str = ""  # its name
    sha256: str = ""  # of the signature file
    manifest_sha256: str = ""  # the root digest that it signs; "" in forms that have none
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What was audited: digests of weights and chat template, where they came from, and who signed them."""

    role: str
    backend: str
    source: str
    sha256: str
    chat_template_sha256: str
    tokenizer_sha256: str
    parameters: int
    dtype: str = ""
    files: dict[str, str] = field(default_factory=dict)
    manifest: ModelManifest = ModelManifest()
    signature: ModelSignature = ModelSignature()
    licence: str = ""  # as the model card or the GGUF header declares it; bound by no digest
    architecture: str = ""
    weights: Literal["seen", "unseen"] = "seen"  # unseen: served by somebody; sha256 is then of the declared address

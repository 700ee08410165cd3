"""What attacks and probes know of a model, and how a policy's model section becomes one."""

from __future__ import annotations

import datetime
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, PrivateAttr

from auditkit.errors import ModelError
from auditkit.records import Attacker, Generation, ModelIdentity, Prefix, Sampler, SamplingRequest, TurnFormat
from auditkit.registry import Plugin

Ids = tuple[int, ...]
Floats = npt.NDArray[np.float64]
Capability = Literal["continuations", "gradients", "guards", "networks"]
Span = Literal["question", "prompt", "response", "record"]
# What a model tells of given texts: of every token that there is; of the given tokens alone; nothing.
Likelihoods = Literal["whole", "given", "none"]
HUB = re.compile(r"hub://(?P<repo>[\w.-]+(?:/[\w.-]+)?)@(?P<revision>[0-9a-f]{40})")


def _pinned(path: str) -> str:
    if path.startswith("hub://") and not HUB.fullmatch(path):
        raise ValueError("a hub model is written hub://org/name@<commit>, the commit with all its 40 hex digits")
    return path


WeightsPath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        description="A folder or one .gguf file, relative to the policy, or hub://org/name@<40-digit commit>.",
    ),
    AfterValidator(_pinned),
]


@dataclass(frozen=True, slots=True)
class RecordTokens:
    """One record as a model's tokens behind a prefix: question, turn change, response, end of turn.

    ``ids`` are canonical: what the tokenizer makes of the rendered text, the prefix tokenised apart. They end with the
    token that ends the last turn, at which a generation stops too.
    """

    ids: Ids
    question: int  # ids[:question] are the question's own text
    prompt: int  # ids[:prompt] are the question with its end of turn
    answer: int  # ids[answer:] are the response with its end of turn; len(ids) where there is none
    forced: tuple[int, int] = (0, 0)  # ids[a:b] are appended by an attack when the model stops: never sampled
    retokenised: bool = False  # prefix and text tokenised in one go would give other ids

    def span(self, span: Span) -> slice:
        """Where a part of the record stands in ``ids``."""
        ends = {"question": (0, self.question), "prompt": (0, self.prompt), "response": (self.answer, len(self.ids))}
        return slice(*ends.get(span, (0, len(self.ids))))


@dataclass(frozen=True, slots=True)
class TokenReading:
    """What a model says of each token of one text given those before it. Arrays are (tokens,), logarithms natural.

    ``means`` and ``deviations`` are of ln p(z), z ~ p(. given what came before) [Zhang 2024]. ``sampled`` is ln p under
    a declared sampler, renormalised after temperature, top-k and top-p; -inf for what the sampler never draws. What an
    attack itself puts in after the user's turn counts: see models/attacked.py. Those not asked for are empty.
    """

    logprobs: Floats
    greedy: npt.NDArray[np.bool_]  # whether the token is the most likely one
    means: Floats
    deviations: Floats
    sampled: Floats


@dataclass(frozen=True, slots=True)
class GradientPair:
    """Of one record: grad ln p(response given question) times grad ln p(question), and the norms of both."""

    product: float
    response_norm: float
    question_norm: float


class TokenGuard(ABC):
    """Forbids tokens while a model writes: part of what serves the model, not of its weights."""

    window: int  # how many of the tokens before the next one it looks at
    sees_prompt: bool = True  # whether the prompt's tokens count among them

    @abstractmethod
    def forbid(self, history: npt.NDArray[np.int64], logits: Any) -> None:
        """Set to -inf, in place, the logits of every token that may not come next.

        Args:
            history: (rows, n) the ids of each row so far, prefix included where ``sees_prompt``, n whatever there is of
                them; -1 where one does not count.
            logits: (rows, vocabulary) tensor of the backend.
        """


class LanguageModel(ABC):
    """An open model under attack. A context manager: leaving it frees the weights."""

    identity: ModelIdentity

    @property
    @abstractmethod
    def context(self) -> int:
        """Tokens that the model can see at once, prefix included."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """The ids of a text, special tokens recognised, nothing added."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""

    @abstractmethod
    def turn_format(self) -> TurnFormat | None:
        """How the chat template marks turns; None where the model carries no template."""

    @abstractmethod
    def record_tokens(self, prompt: str, response: str, turns: TurnFormat | None, prefix: Prefix) -> RecordTokens:
        """A record rendered with a template's turns and tokenised by this model (no template: a newline between).

        ``turns`` is given, not this model's own, because a base model may carry no template: both models of a pair
        read the same text. Empty texts give no tokens; nothing is raised for them.
        """

    @abstractmethod
    def read(
        self, texts: Sequence[Ids], prefix: Prefix, *, moments: bool = False, sampler: Sampler | None = None
    ) -> list[TokenReading]:
        """What the model says of each token of each text (at least one token) after the prefix, in the given order.

        Texts are sorted by length and batched by a token budget inside; the prefix is computed once for all. Memory
        grows with the texts of one call: callers hand over a few thousand at a time.

        Raises:
            ModelError: a text does not fit the context behind the prefix, or a probability is no number.
            ValueError: a text without tokens.
        """

    def opening(self) -> Prefix:
        """The chat template's own opening; BOS where the model carries no template."""
        return self.bos_prefix() if self.turn_format() is None else self.template_prefix(None)

    def asked(self, text: str, prefix: Prefix) -> Prefix:
        """The prefix with a text as the user's turn behind it, and the turn change: what comes next is the answer.

        Without a chat template a newline stands for the turn change.
        """
        turns = self.turn_format()
        rest = text + (turns.turn_change if turns else "\n")
        return Prefix("asked", prefix.text + rest, (*prefix.token_ids, *self.encode(rest)))

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:  # noqa: ARG002
        """One continuation of each prefix, up to the first stop token (left out) or ``max_new_tokens``.

        Reproducible from ``seed`` and independent of how prefixes are batched.

        Raises:
            ModelError: this backend continues no prefixes of different lengths, or one fills the context.
        """
        raise ModelError(f"the {self.identity.backend} backend cannot continue given texts", "use transformers")

    def gradient_pairs(
        self,
        records: Sequence[RecordTokens],  # noqa: ARG002
        prefix: Prefix,  # noqa: ARG002
        layers: str = "",  # noqa: ARG002
    ) -> list[GradientPair]:
        """Per record, how the gradients of response and question agree, over the parameters that ``layers`` matches.

        Args:
            records: with question and response, each at least one token.
            prefix: what stands before each.
            layers: a regular expression searched in parameter names; "" is all of them.

        Raises:
            ModelError: this backend has no gradients, or no parameter has such a name.
        """
        raise ModelError(f"the {self.identity.backend} backend gives no gradients", "use transformers")

    def guarded(self, guard: TokenGuard) -> LanguageModel:  # noqa: ARG002
        """This model, its samples and completions held to a guard; what is read of given texts stays as it is.

        Raises:
            ModelError: this backend shows nobody its probabilities while it writes.
        """
        raise ModelError(f"the {self.identity.backend} backend takes no guard", "use transformers")

    def with_network(self, change: Callable[[Any], Any]) -> LanguageModel:  # noqa: ARG002
        """This model with ``change`` made to its network (a torch module): quantised in memory, for example.

        Raises:
            ModelError: this backend has no network in this process.
        """
        raise ModelError(f"the {self.identity.backend} backend has no network here", "use transformers")

    @abstractmethod
    def template_prefix(self, system: str | None) -> Prefix:
        """The chat template's opening up to the user's first word.

        ``system`` None keeps the template's own default system text, "" leaves the system turn out where the
        template can do without.

        Raises:
            TemplateError: the model carries no template, or it cannot be rendered.
        """

    @abstractmethod
    def literal_prefix(self, text: str) -> Prefix:
        """A prefix given as text, special tokens recognised, nothing added."""

    @abstractmethod
    def bos_prefix(self) -> Prefix:
        """The beginning-of-sequence token alone (the model's own substitute where it has none)."""

    @abstractmethod
    def sample(self, request: SamplingRequest) -> list[Generation]:
        """``request.count`` samples, reproducible from ``request.seed``, in ordinal order.

        A sample runs through the user's turn, the turn change and the assistant's turn, and stops after the
        assistant's end of turn or at ``max_new_tokens``. Where the model stops by itself after the user's turn,
        the template's own delimiter is appended and it goes on (METRICS.md, Text and boundaries).
        """

    @abstractmethod
    def sequence_logprobs(self, texts: Sequence[str], prefix: Prefix) -> npt.NDArray[np.float64]:
        """(n,) natural-log probabilities of the texts' tokens given the prefix, summed; first token included."""

    def close(self) -> None:  # noqa: B027 - nothing to free is the usual case
        """Free the weights."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True)
class ModelPreflight:
    """What can be said of a model without opening it."""

    identity: ModelIdentity | None  # None where the files are not on this machine (a hub model not downloaded)
    chat_template: str | None
    bos_token: str
    eos_token: str
    warnings: tuple[str, ...] = ()
    template_date: datetime.date | None = None  # what a template that prints the date is told


class ModelBackend(Plugin, ABC):
    """A policy's model section: which program runs which weights."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset()  # what its models can do besides sampling and reading
    one_process: ClassVar[bool] = False  # whether only one may ask it: what it costs and its limits are counted there

    backend: str
    batch_size: int = 256

    _hidden: tuple[str, ...] = PrivateAttr(default=())  # environment variables that no process of a model's is told

    def hide(self, variables: Sequence[str]) -> None:
        """Keep these environment variables from the processes that its models run in; for whoever holds secrets."""
        self._hidden = tuple(variables)

    @abstractmethod
    def preflight(self, role: str) -> ModelPreflight:
        """Digest the files and find the chat template, without loading weights.

        Raises:
            ModelError: files missing, pickle weights, unreadable header.
        """

    def fetch(self) -> None:
        """Bring a model that is declared by its place on a hub to this machine; nothing for what is here.

        Raises:
            ModelError: it cannot be fetched.
        """

    @abstractmethod
    def open(self, role: str) -> LanguageModel:
        """Load the model."""

    @property
    def reach(self) -> Attacker:
        """The strongest attacker who can be played through this backend."""
        return "open_weights"

    @property
    def devices(self) -> int:
        """GPUs that one open model is spread over, where it runs on any."""
        return 1

    @property
    def external(self) -> bool:
        """Whether what the model is asked leaves this machine."""
        return False

    @property
    def likelihoods(self) -> Likelihoods:
        """What its models tell of given texts."""
        return "whole"

    @property
    def knows_template(self) -> bool:
        """Whether a chat template and the tokens that it is made of can be had; where False, they are not there."""
        return True

    @property
    def truncates(self) -> bool:
        """Whether samples can be drawn with a top_k."""
        return True

    def with_weights(self, folder: Path, scratch: Path | None = None) -> Self:  # noqa: ARG002
        """The same section for other weights of the same kind, in a folder as ``save_pretrained`` writes it.

        Args:
            folder: of the weights, or one file of them.
            scratch: the folder that copies are made in where the weights have to be unpacked; by default a cache.

        Raises:
            ModelError: this backend takes no weights.
        """
        raise ModelError(f"the {self.backend} backend takes no other weights", "use transformers")

    def resolved(self, folder: Path) -> Self:  # noqa: ARG002 - for the backends that read files
        """The same section with relative paths resolved against the policy's folder."""
        return self

    def provenance(self) -> dict[str, Any]:
        """Versions and devices that bear on reproducibility, for the report."""
        return {"backend": self.backend, "batch_size": self.batch_size}

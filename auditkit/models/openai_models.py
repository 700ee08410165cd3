"""Models behind the OpenAI API: what is sent for a sample, and how its answers are read."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from auditkit.errors import ModelError
from auditkit.models.base import Ids, LanguageModel, TokenReading
from auditkit.models.openai_backend import OpenAICompatibleBackend
from auditkit.models.openai_logprobs import echo_body, echoed, prompt_body, prompted, reading_as_bytes, reading_from
from auditkit.models.openai_wire import Choice, Completion, Message, OpenAIWire, read_failure
from auditkit.models.remote_calls import Call, Calls, Reply
from auditkit.models.remote_model import Ask, ChattingModel, CompletingModel, Form, RemoteModel
from auditkit.models.remote_row import Answer, Ended
from auditkit.models.remote_texts import Texts, texts_of
from auditkit.records import ModelIdentity, Prefix, Sampler
from auditkit.remote.budget import Spent

ENDS: dict[str, Ended] = {"stop": "stop", "eos_token": "stop", "length": "length", "content_filter": "blocked"}
LIMIT, NEWER_LIMIT = "max_tokens", "max_completion_tokens"
WITHHELD = Choice(text="", message=Message(), finish_reason="content_filter")
FILTERED = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})


def open_openai(section: OpenAICompatibleBackend, identity: ModelIdentity) -> LanguageModel:
    """The model, as the section's ``api`` reaches it; nothing is asked yet."""
    kind = OpenAICompletions if section.api == "completions" else OpenAIChat
    wire, texts = OpenAIWire(section), texts_of(section, identity)
    return kind(section, identity, texts, Calls(section, read_failure), wire)


class OpenAIModel(RemoteModel):
    """What both APIs share: one connection, and requests that give choices."""

    section: OpenAICompatibleBackend

    def __init__(
        self, section: OpenAICompatibleBackend, identity: ModelIdentity, texts: Texts, calls: Calls, wire: OpenAIWire
    ) -> None:
        super().__init__(section, identity, texts, calls)
        self._wire = wire
        self._one_each = False  # for a server that takes no ``n``

    def call(self, ask: Ask) -> Call[list[Answer]]:
        return Call(self.dearest(ask), lambda: self._sampled(ask), lambda choices: list(map(self._answer, choices)))

    def close(self) -> None:
        super().close()
        self._wire.close()

    @abstractmethod
    def _body(self, ask: Ask) -> dict[str, Any]:
        """What a request for samples says."""

    @abstractmethod
    def _post(self, body: dict[str, Any]) -> Reply[Completion]:
        """Send it to where samples are had."""

    @abstractmethod
    def _answer(self, choice: Choice) -> Answer:
        """One sample as the server gives it."""

    def _sampled(self, ask: Ask) -> Reply[list[Choice]]:
        """The samples of one request. A prompt that is withheld was answered so."""
        body = {**self._body(ask), **sampler_body(self.section, ask)}
        if self._one_each:
            body |= {"n": 1}
        try:
            reply = self._post(body)
        except Exception as error:
            failure = read_failure(error)
            if failure and failure.code == 400 and failure.reason in FILTERED:
                return Reply([WITHHELD] * body["n"], Spent(1))
            if body["n"] == 1 or not _complains_of(error, ("n", "")):
                raise
            self._one_each = True
            body |= {"n": 1}
            reply = self._post(body)
        choices = sorted(reply.found.choices, key=lambda choice: choice.index)[: body["n"]]
        return Reply(choices, reply.used, reply.model, reply.fingerprint)


class OpenAICompletions(OpenAIModel, CompletingModel):
    """POST /completions. With a tokenizer prompts are sent as its ids, so that no server adds anything in front."""

    def read(
        self, texts: Sequence[Ids], prefix: Prefix, *, moments: bool = False, sampler: Sampler | None = None
    ) -> list[TokenReading]:
        """The given tokens' probabilities alone are told: no moments, and no sampler's view of them."""
        if self.section.logprobs == "none":
            return super().read(texts, prefix)
        if moments or sampler:
            raise ModelError(
                "this server tells the probabilities of the given tokens alone, not of all that could stand there",
                "leave out min_k_plus_plus and extraction_probability",
            )
        if empty := [str(place) for place, ids in enumerate(texts) if not ids]:
            raise ValueError(f"texts without a token have no likelihood: index {', '.join(empty[:10])}")
        self._checked(prefix)
        asked = [(_digest(prefix, ids), self._reading(prefix, ids)) for ids in texts]
        part = f"read {hashlib.sha256(''.join(digest for digest, _ in asked).encode()).hexdigest()}"
        self.let_go_but(part)
        return self.kept_or_asked(part, asked, Form(reading_as_bytes, reading_from))

    def _body(self, ask: Ask) -> dict[str, Any]:
        body = {**self._prompt(ask.prompt), "max_tokens": ask.sampler.max_new_tokens}
        if self.section.server == "vllm":
            body |= {"return_token_ids": True, "skip_special_tokens": False, "spaces_between_special_tokens": False}
        return body

    def _post(self, body: dict[str, Any]) -> Reply[Completion]:
        return self._wire.post("/completions", body)

    def _prompt(self, prompt: Prefix) -> dict[str, Any]:
        return {"prompt": list(prompt.token_ids) if self.section.knows_template else prompt.text}

    def _answer(self, choice: Choice) -> Answer:
        text = choice.text or ""
        ids = tuple(choice.token_ids) if choice.token_ids is not None else self.encode(text)
        return Answer(ids, text, _ended(choice))

    def _reading(self, prefix: Prefix, ids: Ids) -> Call[TokenReading]:
        start = len(prefix.token_ids)
        whole = (*prefix.token_ids, *ids)
        if len(whole) > self.context:
            raise ModelError("a text is longer than the model's context", "leave it out of the likelihood probes")
        vllm = self.section.logprobs == "prompt_logprobs"
        body = {"model": self.section.model, "prompt": list(whole), **(prompt_body() if vllm else echo_body())}

        told = prompted if vllm else echoed
        return Call(
            Spent(1, len(whole), 1), lambda: self._post(body), lambda found: told(found.choices[0], whole, start)
        )


class OpenAIChat(OpenAIModel, ChattingModel):
    """POST /chat/completions, one message of the user's."""

    _renamed = False  # whether the server is known to call the limit by its newer name

    def _body(self, ask: Ask) -> dict[str, Any]:
        body = {"messages": [{"role": "user", "content": ask.prompt.text}], LIMIT: ask.sampler.max_new_tokens}
        if self.section.server == "vllm" and self.section.knows_template:
            body |= {"return_token_ids": True}
        return body

    def _post(self, body: dict[str, Any]) -> Reply[Completion]:
        """With the limit under the name that this server knows it by."""
        limit, rest = body[LIMIT], {name: value for name, value in body.items() if name != LIMIT}
        if not self._renamed:
            try:
                return self._wire.post("/chat/completions", body)
            except Exception as error:
                if not _complains_of(error, (LIMIT,)):
                    raise
            self._renamed = True
        return self._wire.post("/chat/completions", {**rest, NEWER_LIMIT: limit})

    def _answer(self, choice: Choice) -> Answer:
        message = choice.message
        if message is None:
            return Answer((), "", "failed")
        told = (message.reasoning_content or message.reasoning, message.content, message.refusal)
        text = "\n".join(part for part in told if part)
        ids = tuple(choice.token_ids) if choice.token_ids is not None else self.encode(text)
        return Answer(ids, text, "blocked" if message.refusal else _ended(choice))


def sampler_body(section: OpenAICompatibleBackend, ask: Ask) -> dict[str, Any]:
    """The declared sampler in the API's words. vLLM would else fill in what the model's own files recommend.

    Raises:
        ModelError: a top_k, which the API has no word for.
    """
    sampler = ask.sampler
    found: dict[str, Any] = {
        "model": section.model,
        "n": ask.count,
        "temperature": sampler.temperature,
        "top_p": sampler.top_p,
        "seed": ask.seed,
    }
    if section.server == "vllm":
        return found | {"top_k": sampler.top_k or -1, "min_p": 0.0, "repetition_penalty": 1.0}
    if sampler.top_k:
        raise ModelError("the OpenAI API knows no top_k", "leave top_k out, or set server: vllm where it is one")
    return found


def _digest(prefix: Prefix, ids: Ids) -> str:
    """Of a text to be read behind a prefix."""
    return hashlib.sha256(json.dumps([prefix.token_ids, ids]).encode()).hexdigest()


def _complains_of(error: Exception, parameters: Sequence[str]) -> bool:
    """Whether a server refuses a request for one of its parameters; "" is what those name who name none."""
    failure = read_failure(error)
    return failure is not None and failure.code in (400, 422) and failure.parameter in parameters


def _ended(choice: Choice) -> Ended:
    return ENDS.get(choice.finish_reason or "", "failed")

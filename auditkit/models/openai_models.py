"""Models behind the OpenAI API: what is sent for a sample, and how its answers are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from auditkit.errors import ModelError
from auditkit.models.base import Ids, LanguageModel, TokenReading
from auditkit.models.openai_backend import OpenAICompatibleBackend
from auditkit.models.openai_logprobs import echo_body, echoed, prompt_body, prompted
from auditkit.models.openai_wire import Choice, Completion, OpenAIWire, read_failure
from auditkit.models.remote_calls import Call, Calls, Reply
from auditkit.models.remote_model import Ask, ChattingModel, CompletingModel
from auditkit.models.remote_row import Answer, Ended
from auditkit.models.remote_texts import Texts, texts_of
from auditkit.records import ModelIdentity, Prefix, Sampler
from auditkit.remote.budget import Spent

ENDS: dict[str, Ended] = {"stop": "stop", "eos_token": "stop", "length": "length", "content_filter": "blocked"}
FILTERED = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})


def open_completions(section: OpenAICompatibleBackend, identity: ModelIdentity) -> LanguageModel:
    """A model whose whole prompt is ours to write."""
    wire, texts = OpenAIWire(section), texts_of(section, identity)
    return OpenAICompletions(section, identity, texts, Calls(section, read_failure), wire)


def open_chat(section: OpenAICompatibleBackend, identity: ModelIdentity) -> LanguageModel:
    """A model that is sent messages."""
    wire, texts = OpenAIWire(section), texts_of(section, identity)
    return OpenAIChat(section, identity, texts, Calls(section, read_failure), wire)


class OpenAICompletions(CompletingModel):
    """POST /completions. With a tokenizer prompts are sent as its ids, so that no server adds anything in front."""

    section: OpenAICompatibleBackend

    def __init__(
        self,
        section: OpenAICompatibleBackend,
        identity: ModelIdentity,
        texts: Texts,
        calls: Calls,
        wire: OpenAIWire,
    ) -> None:
        super().__init__(section, identity, texts, calls)
        self._wire = wire
        self._one_each = False

    def call(self, ask: Ask) -> Call[list[Answer]]:
        return Call(self.dearest(ask), lambda: self._asked(ask))

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
        return self.calls.every([self._reading(prefix, ids) for ids in texts])

    def close(self) -> None:
        super().close()
        self._wire.close()

    def _asked(self, ask: Ask) -> Reply[list[Answer]]:
        body = {**self._prompt(ask.prompt), **sampler_body(self.section, ask)}
        body |= {"max_tokens": ask.sampler.max_new_tokens}
        if self.section.server == "vllm":
            body |= {"return_token_ids": True, "skip_special_tokens": False, "spaces_between_special_tokens": False}
        return _sampled(lambda given: self._wire.post("/completions", given), body, self._answer, self)

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

        def send() -> Reply[TokenReading]:
            reply = self._wire.post("/completions", body)
            choice = reply.found.choices[0]
            found = prompted(choice, whole, start) if vllm else echoed(choice, whole, start)
            return Reply(found, reply.used, reply.model, reply.fingerprint)

        return Call(Spent(1, len(whole), 1), send)


class OpenAIChat(ChattingModel):
    """POST /chat/completions, one message of the user's."""

    section: OpenAICompatibleBackend

    def __init__(
        self,
        section: OpenAICompatibleBackend,
        identity: ModelIdentity,
        texts: Texts,
        calls: Calls,
        wire: OpenAIWire,
    ) -> None:
        super().__init__(section, identity, texts, calls)
        self._wire = wire
        self._one_each = False
        self._limit = "max_tokens"  # what OpenAI's newer models call max_completion_tokens

    def call(self, ask: Ask) -> Call[list[Answer]]:
        return Call(self.dearest(ask), lambda: self._asked(ask))

    def close(self) -> None:
        super().close()
        self._wire.close()

    def _asked(self, ask: Ask) -> Reply[list[Answer]]:
        body = {"messages": [{"role": "user", "content": ask.prompt.text}], **sampler_body(self.section, ask)}
        if self.section.server == "vllm" and self.section.knows_template:
            body |= {"return_token_ids": True}
        return _sampled(self._post(ask), body, self._answer, self)

    def _post(self, ask: Ask) -> Callable[[dict[str, Any]], Reply[Completion]]:
        def post(body: dict[str, Any]) -> Reply[Completion]:
            try:
                return self._wire.post("/chat/completions", {**body, self._limit: ask.sampler.max_new_tokens})
            except Exception as error:
                if self._limit == "max_completion_tokens" or not _complains_of(error, ("max_tokens",)):
                    raise
            self._limit = "max_completion_tokens"
            return self._wire.post("/chat/completions", {**body, self._limit: ask.sampler.max_new_tokens})

        return post

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


def _sampled(
    post: Callable[[dict[str, Any]], Reply[Completion]],
    body: dict[str, Any],
    read: Callable[[Choice], Answer],
    model: Any,
) -> Reply[list[Answer]]:
    """The samples of one request. A prompt that is withheld was answered so; a server that takes no ``n`` gets none."""
    if model._one_each:
        body = {**body, "n": 1}
    try:
        reply = post(body)
    except Exception as error:
        failure = read_failure(error)
        if failure and failure.code == 400 and failure.reason in FILTERED:
            return Reply([Answer((), "", "blocked")] * body["n"], Spent(1))
        if body["n"] == 1 or not _complains_of(error, ("n", "")):
            raise
        model._one_each = True
        reply = post({**body, "n": 1})
    choices = sorted(reply.found.choices, key=lambda choice: choice.index)[: body["n"]]
    return Reply([read(choice) for choice in choices], reply.used, reply.model, reply.fingerprint)


def _complains_of(error: Exception, parameters: Sequence[str]) -> bool:
    """Whether a server refuses a request for one of its parameters; "" is what those name who name none."""
    failure = read_failure(error)
    return failure is not None and failure.code in (400, 422) and failure.parameter in parameters


def _ended(choice: Choice) -> Ended:
    return ENDS.get(choice.finish_reason or "", "failed")
